"""The pictures of docs/volume-rendering.md: python docs/pictures/volume_rendering.py [FOLDER]

They are computed by the renderer that they explain.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.metrics.images import psnr, ssim
from unflat.outputs.images import colour_depth, save_png, sheet
from unflat.rendering.sampling import stratified_edges
from unflat.rendering.volume import absorption, composited, median_distance, middles, thickness_between

IMAGES = Path(__file__).parent.parent / "images"
FINE = 2  # drawn so many times larger, then made smaller: smooth lines
INK, RED, BLUE, PALE = (60, 60, 60), (200, 60, 40), (40, 90, 190), (190, 208, 240)


# -- one ray -----------------------------------------------------------------------------------------------------------


def ray_density(t: Tensor) -> Tensor:
    """Thin fog, and behind it a wall that is not quite opaque."""
    return 0.45 * torch.exp(-(((t - 2.0) / 0.7) ** 2)) + 6.0 * torch.sigmoid((t - 4.0) * 30) * torch.sigmoid(
        (4.4 - t) * 30
    )


def one_ray(intervals: int = 20) -> Image.Image:
    """Density, transmittance and weights along a ray: as they are (lines), and in intervals (bars)."""
    fine, coarse = torch.linspace(0, 6, 2401)[None], torch.linspace(0, 6, intervals + 1)[None]
    exact = absorption(thickness_between(ray_density(middles(fine)), fine))
    steps = absorption(thickness_between(ray_density(middles(coarse)), coarse))
    t = middles(fine)[0]
    shown = exact.weights[0] / fine.diff(dim=1)[0]  # a share per unit of length
    rows: list[tuple[str, Tensor, Tensor, float]] = [
        ("density", ray_density(t), ray_density(middles(coarse))[0], 6.5),
        ("transmittance", exact.before[0], steps.before[0], 1.3),
        ("weight per length", shown, steps.weights[0] / coarse.diff(dim=1)[0], 2.6),
    ]
    height, width = 130, 640
    canvas = Image.new("RGB", (width * FINE, height * len(rows) * FINE + 24 * FINE), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (name, line, bars, top) in enumerate(rows):
        plot(draw, (60, 14 + i * height, width - 12, (i + 1) * height), name, (t, line), (coarse[0], bars), top)
    label(draw, (width // 2, len(rows) * height + 10), "distance from the camera, 0 to 6", "mm")
    return canvas.resize((width, height * len(rows) + 24), Image.Resampling.LANCZOS)


def plot(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], name: str, line: tuple[Tensor, Tensor],
    bars: tuple[Tensor, Tensor], top: float,
) -> None:  # fmt: skip
    """A curve over bars between edges, with axes, in a box of pixels."""
    left, high, right, low = box

    def at(x: float, y: float) -> tuple[float, float]:
        return (left + x / 6 * (right - left)) * FINE, (low - min(y, top) / top * (low - high)) * FINE

    for a, b, y in zip(bars[0][:-1].tolist(), bars[0][1:].tolist(), bars[1].tolist(), strict=True):
        draw.rectangle((*at(a, y), *at(b, 0)), fill=PALE, outline="white")
    draw.line([at(x, y) for x, y in zip(line[0].tolist(), line[1].tolist(), strict=True)], fill=RED, width=2 * FINE)
    draw.line([at(0, top), at(0, 0), at(6, 0)], fill=INK, width=FINE)
    label(draw, (left + 8, high + 8), name, "lm")
    label(draw, (left - 8, low - 4), "0", "rm")


def label(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, anchor: str) -> None:
    font = ImageFont.load_default(13 * FINE)
    draw.text((place[0] * FINE, place[1] * FINE), text, fill=INK, font=font, anchor=anchor)


# -- a small scene -----------------------------------------------------------------------------------------------------


def scene(places: Tensor, sights: Tensor) -> tuple[Tensor, Tensor]:
    """Density and colour of a cloud before a solid ball. The ball shines where it mirrors a light: its colour depends
    on the direction it is seen along."""
    ball = (places - torch.tensor([0.35, 0.1, 0.5])).norm(dim=-1)
    cloud = (places - torch.tensor([-0.35, -0.05, -0.3])).norm(dim=-1)
    solid = 200 * torch.sigmoid((0.55 - ball) * 200)
    haze = 2.5 * torch.exp(-((cloud / 0.4) ** 2))
    normal = torch.nn.functional.normalize(places - torch.tensor([0.35, 0.1, 0.5]), dim=-1)
    mirrored = sights - 2 * (sights * normal).sum(-1, keepdim=True) * normal
    shine = (mirrored * torch.tensor([-0.48, -0.64, -0.6])).sum(-1, keepdim=True).clamp_min(0) ** 30
    stripes = 0.5 + 0.3 * torch.sin(14 * places[..., 1:2] + torch.tensor([0.0, 1.2, 2.6]))
    paint = (stripes * (0.6 - 0.4 * normal[..., 2:]) + shine).clamp(0, 1)
    share = (solid / (solid + haze).clamp_min(1e-6))[..., None]
    return solid + haze, share * paint + (1 - share) * torch.tensor([0.35, 0.5, 0.8])


def picture(intervals: int, jittered: bool = False, size: int = 112) -> tuple[Tensor, Tensor, Tensor]:
    """Colours on white, opacity and median depth of the scene."""
    rays = Pinhole.across_centres(size, 0.7).rays().reshape(-1, 3)
    sights = torch.nn.functional.normalize(rays, dim=-1)
    along = torch.ones(len(rays))
    edges = stratified_edges(1.8 * along, 4.2 * along, intervals, jitter="edge" if jittered else None)
    places = torch.tensor([0.0, 0.0, -3.0]) + middles(edges)[..., None] * sights[:, None]
    density, rgb = scene(places, sights[:, None].expand_as(places))
    found = absorption(thickness_between(density, edges))
    seen = composited(found.weights, rgb) + found.through[:, None]
    depth = median_distance(found.weights, edges) * sights[:, 2]
    return seen.view(size, size, 3).clamp(0, 1), found.opacity.view(size, size), depth.view(size, size)


def sampled() -> np.ndarray:
    """The scene with few and with many samples a ray, even and jittered; then its opacity and depth."""
    torch.manual_seed(0)
    counts = (4, 12, 96)
    even, drawn = [picture(n)[0] for n in counts], [picture(n, jittered=True)[0] for n in counts]
    _, opacity, depth = picture(384)
    rows = [[*even, 1 - opacity], [*drawn, colour_depth(depth)]]
    titles = [*(f"{n} intervals" for n in counts), "passes / depth"]
    return sheet(rows, titles, cell=144)


# -- what figures of quality see ---------------------------------------------------------------------------------------


def judged() -> np.ndarray:
    """The same picture a little too bright, noisy and blurred, each until PSNR is 24 dB: SSIM tells them apart."""
    truth = picture(384)[0]
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    wrong: dict[str, Callable[[float], Tensor]] = {
        "darker": lambda amount: truth * (1 - amount),
        "noise": lambda amount: truth + amount * noise,
        "blur": lambda amount: blurred(truth, 20 * amount),
    }
    shown, titles = [truth], ["true"]
    for name, spoilt in wrong.items():
        low, high = 1e-3, 1.0
        for _ in range(30):  # halve the range of amounts until PSNR is as wanted
            middle = (low + high) / 2
            low, high = (middle, high) if float(psnr(spoilt(middle)[None], truth[None])) > 24 else (low, middle)
        image = spoilt(low).clamp(0, 1)
        shown.append(image)
        titles.append(f"{name}, SSIM {float(ssim(image[None], truth[None])):.2f}")
    return sheet([shown], titles, cell=144)


def blurred(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur, pictures going on at their borders as they end."""
    reach = max(1, int(3 * sigma))
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * max(sigma, 1e-3) ** 2))
    kernel = kernel / kernel.sum()
    for axis in (0, 1):
        parts = [image.index_select(axis, (torch.arange(image.shape[axis]) + i - reach).clamp(0, image.shape[axis] - 1))
                 for i in range(len(kernel))]  # fmt: skip
        image = sum((k * part for k, part in zip(kernel, parts, strict=True)), torch.zeros_like(image))
    return image


PICTURES: dict[str, Callable[[], Image.Image | np.ndarray]] = {
    "volume-ray.png": one_ray,
    "volume-samples.png": sampled,
    "volume-quality.png": judged,
}


def main(folder: Path = IMAGES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        save_png(folder / name, np.asarray(draw()))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
