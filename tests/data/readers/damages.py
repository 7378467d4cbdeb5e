"""Ways to damage files, for tests that only documented errors come of it."""

import re
import struct
from collections.abc import Callable

import numpy as np


def flipped(rng: np.random.Generator, content: bytes) -> bytes:
    damaged = bytearray(content)
    for place in rng.integers(0, len(content), rng.integers(1, 9)):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def beheaded(rng: np.random.Generator, content: bytes) -> bytes:
    """Other bytes in the first hundred, where sizes, modes and tables are declared."""
    damaged = bytearray(content)
    for place in rng.integers(2, min(len(content), 100), rng.integers(1, 6)):
        damaged[place] = int(rng.integers(256))
    return bytes(damaged)


def cut_short(rng: np.random.Generator, content: bytes) -> bytes:
    return content[: rng.integers(0, len(content))]


def swapped(rng: np.random.Generator, content: bytes) -> bytes:
    """Two neighbouring stretches in the other order."""
    a, b, c = sorted(rng.integers(0, len(content), 3).tolist())
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def repeated(rng: np.random.Generator, content: bytes) -> bytes:
    a, b = sorted(rng.integers(0, len(content), 2).tolist())
    return content[:b] + content[a:]


def blanked(rng: np.random.Generator, content: bytes) -> bytes:
    a, b = sorted(rng.integers(0, len(content), 2).tolist())
    return content[:a] + bytes(b - a) + content[b:]


def huge(rng: np.random.Generator, content: bytes) -> bytes:
    """Sizes of the picture, wherever they stand in the file, become large ones."""
    for order in ("<", ">"):
        for form in ("H", "I"):
            for side in (40, 32):
                large = int(rng.integers(60, 2**16 if form == "H" else 2**31))
                content = content.replace(struct.pack(order + form, side), struct.pack(order + form, large), 1)
    return content


def disturbed_exif(rng: np.random.Generator, content: bytes) -> bytes:
    """Damage right behind the mark of the EXIF block, or anywhere if there is none."""
    start = max(content.find(b"Exif\0\0"), content.find(b"eXIf"), content.find(b"EXIF"))
    if start < 0:
        return flipped(rng, content)
    damaged = bytearray(content)
    for place in start + 6 + rng.integers(0, 60, 5):
        damaged[min(place, len(content) - 1)] = int(rng.integers(256))
    return bytes(damaged)


DAMAGES: tuple[Callable[[np.random.Generator, bytes], bytes], ...] = (
    flipped, beheaded, cut_short, swapped, repeated, blanked, huge, disturbed_exif,
    lambda rng, content: content,  # sound, and may get the wrong suffix
    lambda rng, content: content + rng.bytes(50),
)  # fmt: skip


NONSENSE = (
    "null", "[]", "{", '"text"', "1e999", "NaN", "-Infinity", "[" * 100_000, "1" * 5000, "1" + "0" * 400, "true",
    "[[1], 2]",
    '{"name": 3}', "\ud800", '[1, 2, "x"]', "0", "-1", '["1"]', "[1e39, 1, 1, 1, 1, 1]",
)  # fmt: skip


def with_nonsense(rng: np.random.Generator, text: str) -> bytes:
    """One value of a JSON text replaced by another, or what comes of swapping characters."""
    values = [*re.finditer(r'(?<=: )(\[\[.*?\]\]|\[.*?\]|[\d.]+|".*?")', text)]
    value = values[int(rng.integers(len(values)))]
    other = NONSENSE[int(rng.integers(len(NONSENSE)))]
    return (text[: value.start()] + other + text[value.end() :]).encode("utf-8", "surrogatepass")
