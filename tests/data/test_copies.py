"""Near copies: found however they were made, and not found among photos that only resemble each other."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from unflat.data import copies
from unflat.data.copies import aligned_correlation, near_copies
from unflat.worlds.faces import Faces

COUNT = 40


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.asarray(Faces(COUNT).photos(progress=False).rgb)


def encoded(picture: Image.Image) -> Image.Image:
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=40)
    return Image.open(held).convert("RGB")


def cut(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """A picture without these shares of its side, at its old size."""
    side = picture.width
    box = (left * side, top * side, (1 - right) * side, (1 - bottom) * side)
    return picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)


WAYS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "encoded again": encoded,
    "resized": lambda p: p.resize((32, 32), Image.Resampling.BILINEAR).resize((64, 64), Image.Resampling.BICUBIC),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.2),
    "duller": lambda p: ImageEnhance.Contrast(p).enhance(0.7),
    "cropped": lambda p: cut(p, 0.04, 0.04, 0.04, 0.04),
    "cropped at a corner": lambda p: cut(p, 0.05, 0.0, 0.0, 0.05),
}


@pytest.mark.parametrize("way", WAYS)
def test_copies_are_found_however_they_were_made(faces: np.ndarray, way: str) -> None:
    made = np.stack([np.asarray(WAYS[way](Image.fromarray(picture))) for picture in faces])
    pairs = {(i, j) for i, j in near_copies(np.concatenate([faces, made])).tolist()}
    right = {(i, i + COUNT) for i in range(COUNT)}
    assert pairs <= right
    assert len(pairs) >= 0.85 * COUNT


def test_different_faces_are_not_copies(faces: np.ndarray) -> None:
    assert near_copies(faces).shape == (0, 2)


def test_frames_of_a_film_that_hardly_differ(faces: np.ndarray) -> None:
    """A camera that moves by half a pixel a frame: all but one frame add nothing."""
    large = np.asarray(Image.fromarray(faces[0]).resize((256, 256), Image.Resampling.BICUBIC))
    frames = np.stack([large[8 : 8 + 224 : 4, 2 * i : 2 * i + 224 : 4] for i in range(12)])
    pairs = near_copies(frames)
    assert {int(i) for pair in pairs for i in pair} == set(range(12))


def test_a_pair_stands_there_once_and_pieces_make_no_difference(
    faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = np.concatenate([faces[:9], faces[:9][::-1]])
    whole = near_copies(twice)
    assert sorted(map(tuple, whole.tolist())) == [(i, 17 - i) for i in range(9)]
    monkeypatch.setattr(copies, "PIECE", 4)
    assert np.array_equal(near_copies(twice), whole)


def test_photos_of_one_colour_are_no_copies_of_each_other() -> None:
    """There is nothing in them to compare."""
    plain = np.broadcast_to(np.arange(0, 250, 25, dtype=np.uint8)[:, None, None, None], (10, 16, 16, 3))
    assert len(near_copies(plain)) == 0
    assert len(near_copies(plain[:0])) == 0 and len(near_copies(plain[:1])) == 0


@pytest.mark.parametrize(
    ("scale", "x", "y"), [(1.0, 0.0, 0.0), (1.08, 0.0, 0.0), (0.95, 0.06, -0.05), (1.0, -0.1, 0.08)]
)
def test_aligning_undoes_a_shift_and_a_scale(scale: float, x: float, y: float) -> None:
    """Waves, drawn from their formula before and after: laid over each other they are the same."""
    centres = (torch.arange(32) + 0.5) / 16 - 1
    v, u = torch.meshgrid(centres, centres, indexing="ij")

    def drawn(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.sin(4 * u + 1) + torch.cos(5 * v) * torch.sin(2 * u - v)

    before = drawn(u, v)[None]
    after = 0.7 * drawn(scale * u + x, scale * v + y)[None] + 0.2
    assert float(aligned_correlation(before, after)) > 0.999


def test_pixels_are_shared_out_by_the_length_in_common() -> None:
    for size in (8, 20, 32, 50, 64):
        shares = copies._shares(size)
        torch.testing.assert_close(shares.sum(1), torch.ones(32))
        torch.testing.assert_close(shares.sum(0), torch.full((size,), 32 / size))
    fine = torch.zeros(64).index_fill(0, torch.tensor([6]), 1.0)
    assert (copies._shares(64) @ fine).tolist() == [0.5 if i == 3 else 0 for i in range(32)]
