"""Data parallel under torchrun: every process draws its own batches, and the gradients are averaged once a step."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """The processes that train together; one, unless torchrun started more."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @staticmethod
    def join() -> "Processes":
        """Meet the others that torchrun started."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return Processes()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return Processes(dist.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all are here."""
        if self.count > 1:
            dist.barrier()

    def share(self, buffers: Iterable[Tensor]) -> None:
        """Give all processes the first one's buffers, so that what is decided from them is decided alike."""
        if self.count > 1:
            for buffer in buffers:
                dist.broadcast(buffer, 0)

    def average(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Replace every gradient by its mean over the processes; return the mean of `loss`."""
        if self.count == 1:
            return loss
        for parameter in parameters:
            if parameter.grad is None:  # another process may have one
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        dense = [g for g in gradients if not g.is_sparse]
        flat = torch.cat([loss.detach().reshape(1), *(g.reshape(-1).to(loss.dtype) for g in dense)])
        dist.all_reduce(flat)
        flat /= self.count
        mean, *parts = torch.split(flat, [1, *(g.numel() for g in dense)])
        for gradient, part in zip(dense, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))
        for parameter in parameters:
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = self._sparse_mean(parameter.grad)
        return mean[0]

    def _sparse_mean(self, gradient: Tensor) -> Tensor:
        """The mean of sparse gradients, whose rows differ from process to process."""
        gradient = gradient.coalesce()
        mine = gradient._indices(), gradient._values() / self.count
        lengths = [torch.zeros(1, dtype=torch.long, device=gradient.device) for _ in range(self.count)]
        dist.all_gather(lengths, lengths[0].new_tensor([mine[0].shape[1]]))
        most = int(torch.cat(lengths).max())
        everyone: list[list[Tensor]] = []
        for part in (mine[0].T.contiguous(), mine[1]):
            padded = part.new_zeros(most, *part.shape[1:])
            padded[: len(part)] = part
            held = [torch.empty_like(padded) for _ in range(self.count)]
            dist.all_gather(held, padded)
            everyone.append([one[: int(length)] for one, length in zip(held, lengths, strict=True)])
        indices, values = torch.cat(everyone[0]).T, torch.cat(everyone[1])
        return torch.sparse_coo_tensor(indices, values, gradient.shape, check_invariants=False).coalesce()
