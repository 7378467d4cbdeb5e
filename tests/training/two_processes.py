"""What two processes do together in tests/training/test_parallel_captures.py, in a module that they can import."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from killed import join_as
from torch import Tensor, nn

from unflat import catalogue
from unflat.training.parallel import Processes
from unflat.training.run import train
from unflat.training.settings import Training
from unflat.worlds.objects import Objects

TRAINING = Training(steps=8, clip=0.0, sample_every=0, validate_every=0, threads=1, device="cpu")
CHANGES: dict[str, dict[str, Any]] = {
    "quick_grid": {"until": (4,), "refresh": 3, "smoothness": (1.0, 1.0)},
    "dvgo": {"coarse_steps": 4, "growths": (2,)},
    "tensorf": {"growths": (4,), "masks": (2, 3), "l1_weight": (0.0, 0.0)},
}
"""of the tiny experiments: everything that changes while they learn does so in 8 steps, and gradients are sparse"""


def learn(folder: Path, name: str) -> None:
    """Some steps of a method on a few small pictures."""
    tiny = catalogue.experiment(name, "tiny")
    config, training = replace(tiny.config, **CHANGES.get(name, {})), replace(TRAINING, rate=tiny.training.rate)
    capture = Objects("vase", 6, 24).capture(progress=False)
    train(name, capture, out=folder, config=config, training=training, quiet=True)


def learn_together(rank: int, count: int, port: int, folder: Path, name: str) -> None:
    join_as(rank, count, port)
    learn(folder, name)


GRADIENTS: dict[str, tuple[Tensor | None, Tensor | None]] = {
    "both dense": (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 0.0, 1.0])),
    "both sparse": (torch.tensor([1.0, 0.0, 3.0]).to_sparse(), torch.tensor([0.0, 4.0, 1.0]).to_sparse()),
    "one sparse, one none": (torch.tensor([0.0, 0.0, 3.0]).to_sparse(), None),
    "one none, one dense": (None, torch.tensor([1.0, 2.0, 3.0])),
    "one dense, one sparse": (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 4.0, 0.0]).to_sparse()),
    "nothing touched": (torch.zeros(3).to_sparse(), torch.zeros(3).to_sparse()),
    "both none": (None, None),
}
"""of the first process and of the second"""


def average_together(rank: int, count: int, port: int, folder: Path) -> None:
    """Writes what each process makes of the gradients above, and of what it is told of buffers."""
    join_as(rank, count, port)
    together = Processes.join()
    parameters = {name: nn.Parameter(torch.zeros(3)) for name in GRADIENTS}
    for name, parameter in parameters.items():
        parameter.grad = GRADIENTS[name][rank]
    loss = together.average(list(parameters.values()), torch.tensor(float(rank)))
    seen = []
    buffer = torch.full((2,), float(rank))
    for step in range(3):
        together.share([buffer])
        seen.append(buffer.clone())
        if step == 0 and together.first:
            buffer += 5
        elif together.first is False:
            buffer = buffer + 0  # another tensor, which the first one knows nothing of
    found = {name: parameter.grad for name, parameter in parameters.items()}
    torch.save({"gradients": found, "loss": loss, "shared": seen}, folder / f"{rank}.pt")
