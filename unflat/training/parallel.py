"""Data parallel under torchrun: every process draws its own batches, and the gradients are averaged once a step.

What is learned is what one process would learn that draws all of these batches as one, up to rounding: every loss is a
mean over the batch, and batches are of one size. What counts which rows of a table were touched (sparse gradients, the
roughness of `kernels.smoothing`) counts those that any process has touched.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unflat.kernels.smoothing import postponed

NONE, SPARSE, DENSE = range(3)
"""how a parameter's gradient is kept"""


@dataclass(frozen=True)
class Processes:
    """The processes that train together; one, unless torchrun started more."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    _shared: list[tuple[Tensor, int]] = field(default_factory=list, compare=False)
    """the buffers that all have, each with its count of changes"""

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
        """Give all processes the first one's buffers, so that what is decided from them is decided alike.

        Only those are sent that the first one has changed since: a grid's are as large as the grid.
        """
        now = [(buffer, buffer._version) for buffer in buffers]
        if self.count == 1 or not now:
            return
        before = self._shared if len(self._shared) == len(now) else [(None, 0)] * len(now)
        changed = [
            ours is not theirs or version != then for (ours, version), (theirs, then) in zip(now, before, strict=True)
        ]
        flags = torch.tensor(changed, device=now[0][0].device)
        dist.broadcast(flags, 0)
        for send, (buffer, _) in zip(flags.tolist(), now, strict=True):
            if send:
                dist.broadcast(buffer, 0)
        self._shared[:] = [(buffer, buffer._version) for buffer, _ in now]

    def differentiate(self, total: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Give every parameter the gradient of the mean of `total` over the processes; return that mean."""
        if self.count == 1:
            total.backward()  # type: ignore[no-untyped-call]
            return total.detach()
        with postponed() as roughness:
            total.backward()  # type: ignore[no-untyped-call]
        mean = self.average(parameters, total.detach())
        for join in roughness:  # to the rows that any process has touched
            join()
        return mean

    def average(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Replace every gradient by its mean over the processes; return the mean of `loss`.

        A parameter without a gradient in one process has one of zero there if another process has one, and none if
        none has: Adam would count a step.
        """
        if self.count == 1:
            return loss
        self._keep_alike(parameters)
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

    def _keep_alike(self, parameters: Sequence[nn.Parameter]) -> None:
        """Let every gradient be there, and be sparse, in all processes or in none."""
        kept = [NONE if p.grad is None else SPARSE if p.grad.is_sparse else DENSE for p in parameters]
        most = torch.tensor(kept, dtype=torch.int32, device=parameters[0].device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        for parameter, ours, theirs in zip(parameters, kept, most.tolist(), strict=True):
            if ours == theirs:
                continue
            if ours == SPARSE:
                assert parameter.grad is not None
                parameter.grad = parameter.grad.to_dense()
            else:
                zero = torch.zeros_like(parameter, requires_grad=False)
                parameter.grad = zero.to_sparse(1) if theirs == SPARSE else zero

    def _sparse_mean(self, gradient: Tensor) -> Tensor:
        """The mean of sparse gradients, whose rows differ from process to process."""
        gradient = gradient.coalesce()
        mine = gradient._indices(), gradient._values() / self.count
        lengths = [torch.zeros(1, dtype=torch.long, device=gradient.device) for _ in range(self.count)]
        dist.all_gather(lengths, lengths[0].new_tensor([mine[0].shape[1]]))
        most = int(torch.cat(lengths).max())
        if most == 0:  # nobody has touched anything
            return gradient
        everyone: list[list[Tensor]] = []
        for part in (mine[0].T.contiguous(), mine[1]):
            padded = part.new_zeros(most, *part.shape[1:])
            padded[: len(part)] = part
            held = [torch.empty_like(padded) for _ in range(self.count)]
            dist.all_gather(held, padded)
            everyone.append([one[: int(length)] for one, length in zip(held, lengths, strict=True)])
        indices, values = torch.cat(everyone[0]).T, torch.cat(everyone[1])
        return torch.sparse_coo_tensor(indices, values, gradient.shape, check_invariants=False).coalesce()
