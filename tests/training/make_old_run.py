"""Makes the run folders of tests/training/test_old_runs.py, as this version writes them.

    python tests/training/make_old_run.py tests/training/old_runs/YEAR-MONTH

Run it when what a run's folder holds has changed, under a new name: the older ones stay, and must go on loading.
"""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from tilt import Config, Tilt, pictures  # noqa: E402

from unflat.data.kinds import Photos  # noqa: E402
from unflat.method import Method, predict_in_pieces  # noqa: E402
from unflat.methods.autoencoders import unsup3d  # noqa: E402
from unflat.training import checkpoint  # noqa: E402
from unflat.training.run import train  # noqa: E402
from unflat.training.settings import Training  # noqa: E402

TRAINING = Training(steps=6, rate=1e-2, save_every=4, validate_every=3, log_every=2, sample_every=0, threads=1)
KEPT = ("settings.json", "weights.safetensors", "checkpoints/step_00000004.safetensors")


class Case(NamedTuple):
    """A method and what it learns from."""

    method: type[Method]
    config: Any
    size: int
    average: float
    """decay of the running average of the weights"""

    @property
    def data(self) -> Photos:
        return pictures(6, size=self.size)

    def train(self, folder: Path, config: Any = None) -> Method:
        """In the folder, from its last checkpoint on; with the settings of an old run if they are given."""
        return train(
            self.method, self.data, out=folder, config=config or self.config, quiet=True,
            training=replace(TRAINING, ema=self.average), validation=pictures(3, seed=1, size=self.size),
        ).method  # fmt: skip


SMALL = unsup3d.Config(width=1, code=2, shared=True, batch_size=2, warmup=3)
CASES = {"tilt": Case(Tilt, Config(grow_at=2), 8, 0.9), "unsup3d": Case(unsup3d.Unsup3D, SMALL, 16, 0.0)}


def depth_of(method: Method, data: Photos) -> np.ndarray:
    """float32 [n, h, w]."""
    depth = predict_in_pieces(method, data, 3).depth
    assert depth is not None
    return depth.numpy()


def main(target: Path) -> None:
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as made:
            run = Path(made)
            case.train(run)
            for file in KEPT:
                (target / name / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(run / file, target / name / file)
            np.save(target / name / "depth.npy", depth_of(checkpoint.load_method(run, case.method), case.data[:2]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
