"""What papers on radiance fields tell of themselves, to stand beside what is measured here.

PSNR: means over the eight objects of Synthetic-NeRF at 800 px, 100 pictures each, on GPUs. Times and sizes: those of a
table that is often shown in lectures, which rounds them; what it leaves out is in the notes.
"""

from dataclasses import dataclass

HOUR, MINUTE, MEGABYTE = 3600.0, 60.0, 1e6


@dataclass(frozen=True)
class Published:
    """What is told of a method."""

    psnr: float
    seconds: tuple[float, float]
    """from and to"""
    size: float
    """bytes of the model; 0 where nothing is told"""
    note: str = ""

    @property
    def time(self) -> str:
        unit, name = (HOUR, "h") if self.seconds[1] >= 2 * HOUR else (MINUTE, "min")
        low, high = (seconds / unit for seconds in self.seconds)
        return f"{low:g} {name}" if low == high else f"{low:g}-{high:g} {name}"

    @property
    def middle(self) -> float:
        """Seconds: on a logarithmic axis half-way."""
        return (self.seconds[0] * self.seconds[1]) ** 0.5


PUBLISHED = {
    "nerf": Published(31.01, (30 * HOUR, 40 * HOUR), 5 * MEGABYTE, "one V100 in the paper"),
    "dvgo": Published(31.95, (15 * MINUTE, 30 * MINUTE), 440 * MEGABYTE),
    "tensorf": Published(
        33.14, (15 * MINUTE, 30 * MINUTE), 5 * MEGABYTE,
        "33.14 dB is of VM-192, in the paper 72 MB and 17 min; a model of 4 MB (CP-384) reaches 31.56",
    ),
    "plenoxels": Published(31.71, (11 * MINUTE, 11 * MINUTE), 778 * MEGABYTE, "one TITAN RTX"),
    "instant_ngp": Published(33.18, (5 * MINUTE, 5 * MINUTE), 0.0, "one RTX 3090"),
}  # fmt: skip
"""by the names of the catalogue"""
