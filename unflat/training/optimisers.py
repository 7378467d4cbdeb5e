"""The update rules behind `Group`, as one optimiser with a plain state."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unflat.kernels.accumulators import marks
from unflat.kernels.touched_adam import each_once, update_rows, update_touched
from unflat.kernels.touched_rmsprop import rmsprop_rows, rmsprop_touched
from unflat.method import Group


def values_of(gradient: Tensor) -> Tensor:
    """The numbers of a gradient: of a sparse one those that are kept."""
    return gradient._values() if gradient.is_sparse else gradient


def clip(parameters: Sequence[nn.Parameter], largest: float, norm: Tensor) -> None:
    """Scale all gradients down so that their common norm, which is `norm`, is at most `largest`."""
    dense = [p for p in parameters if p.grad is not None and not p.grad.is_sparse]
    nn.utils.clip_grads_with_norm_(dense, largest, norm)
    share = (largest / (norm + 1e-6)).clamp_max(1.0)  # as torch does it
    for gradient in (p.grad for p in parameters if p.grad is not None and p.grad.is_sparse):
        gradient._values().mul_(share.to(gradient.dtype))


class TouchedAdam(torch.optim.Optimizer):
    """Adam that changes only what a step has touched (see `kernels/touched_adam.py`).

    Of a sparse gradient these are its rows; of a dense one the rows that are not exactly zero.
    """

    def __init__(self, params: Any, fused: bool = False, **_: Any) -> None:
        super().__init__(params, {"lr": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if group["weight_decay"]:
                raise ValueError("the rule touched knows no decay: what is not touched does not change")
            for parameter in (p for p in group["params"] if p.grad is not None):
                gradient, state = parameter.grad, self.state[parameter]
                rows, columns = len(parameter), math.prod(parameter.shape[1:])
                if not state:
                    state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                    state["count"] = torch.zeros(rows, dtype=torch.int32, device=parameter.device)
                if len(state["count"]) != rows:  # of a run whose dense gradients counted every entry
                    state["count"] = state["count"].view(rows, columns).amax(1)
                tables = (part.view(rows, columns) for part in (parameter, state["mean"], state["square"]))
                table, mean, square = tables
                numbers = {n: group[n] for n in ("betas", "eps", "scales")} | {"rate": group["lr"]}
                if gradient.is_sparse:
                    touched, values = _touched(gradient, state["count"])
                    update_rows(table, touched, values, mean, square, state["count"], **numbers)
                else:
                    update_touched(table, gradient.reshape(rows, columns), mean, square, state["count"], **numbers)


class TouchedRMSProp(torch.optim.Optimizer):
    """RMSProp that changes only what a step has touched (see `kernels/touched_rmsprop.py`): rows, as `TouchedAdam`."""

    def __init__(self, params: Any, fused: bool = False, **_: Any) -> None:
        super().__init__(params, {"lr": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if group["weight_decay"] or group["scales"] is not None:
                raise ValueError("the rule touched_rmsprop knows neither decay nor scales of rows: take touched")
            numbers = {"rate": group["lr"], "beta": group["betas"][1], "eps": group["eps"]}
            for parameter in (p for p in group["params"] if p.grad is not None):
                state, shape = self.state[parameter], (len(parameter), math.prod(parameter.shape[1:]))
                if not state:
                    state["square"] = torch.zeros_like(parameter)
                table, square = parameter.view(shape), state["square"].view(shape)
                if parameter.grad.is_sparse:
                    rmsprop_rows(table, *_touched(parameter.grad, marks(len(table))), square, **numbers)
                else:
                    rmsprop_touched(table, parameter.grad.reshape(shape), square, **numbers)


def _make_dense(parameters: Sequence[nn.Parameter]) -> None:
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()


def _touched(gradient: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of a sparse gradient, each once, and their gradients [n, c]."""
    gradient = each_once(gradient, count)
    touched = gradient._indices()[0]
    return touched, gradient._values().reshape(len(touched), math.prod(gradient.shape[1:]))


RULES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "touched": TouchedAdam,
    "touched_rmsprop": TouchedRMSProp,
}
SPARSE = frozenset({"touched", "touched_rmsprop"})
"""rules that change only what has a gradient, and take sparse ones; the others change everything"""


class Optimiser:
    """Updates the parameters of all groups, each by its rule. `names` are the parameters' names in the method."""

    def __init__(self, groups: Sequence[Group], names: Mapping[nn.Parameter, str], rate: float) -> None:
        self.groups, self.names, self.rate = list(groups), names, rate
        self.parameters = [p for group in groups for p in group.parameters]
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError("a parameter is in two groups; every parameter is updated by one rule")
        unknown = {group.rule for group in groups} - set(RULES)
        if unknown:
            raise ValueError(f"no update rule is called {', '.join(sorted(unknown))}; there are {', '.join(RULES)}")
        self._rules = {
            rule: RULES[rule]([_torch_group(g) for g in groups if g.rule == rule], fused=_can_fuse(self.parameters))
            for rule in dict.fromkeys(group.rule for group in groups)
        }

    def step(self, step: int, factor: float) -> None:
        """One update with the rate `self.rate * group.rate * factor`, or the group's own schedule for `factor`."""
        for rule, optimiser in self._rules.items():
            for group in optimiser.param_groups:
                if rule not in SPARSE:
                    _make_dense(group["params"])
                own: Callable[[int], float] | None = group["schedule"]
                group["lr"] = self.rate * group["times"] * (factor if own is None else own(step))
            optimiser.step()

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Everything the rules remember, named `parameter/quantity`."""
        return {
            f"{self.names[parameter]}/{quantity}": value
            for optimiser in self._rules.values()
            for group in optimiser.param_groups
            for parameter in group["params"]
            for quantity, value in optimiser.state.get(parameter, {}).items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Remember `state` again; what it holds of other parameters is left out."""
        by_name: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            name, _, quantity = key.rpartition("/")
            by_name.setdefault(name, {})[quantity] = value
        for optimiser in self._rules.values():
            for parameter in (p for group in optimiser.param_groups for p in group["params"]):
                if self.names[parameter] in by_name:
                    remembered = by_name[self.names[parameter]]
                    optimiser.state[parameter] = {q: _like(parameter, value) for q, value in remembered.items()}

    def regrouped(self, groups: Sequence[Group], names: Mapping[nn.Parameter, str]) -> "Optimiser":
        """An optimiser of other groups that remembers what this one knew of the parameters they share."""
        new = Optimiser(groups, names, self.rate)
        shared = {names[p] for p in new.parameters if self.names.get(p) == names[p]}
        new.load({key: value for key, value in self.state().items() if key.rpartition("/")[0] in shared})
        return new


def _torch_group(group: Group) -> dict[str, Any]:
    return {
        "params": list(group.parameters),
        "betas": group.betas,
        "eps": group.eps,
        "weight_decay": group.decay,
        "times": group.rate,
        "schedule": group.schedule,
        "scales": group.scales,
    }


def _can_fuse(parameters: Sequence[nn.Parameter]) -> bool:
    """Whether one kernel may update all of them."""
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)


def _like(parameter: nn.Parameter, value: Tensor) -> Tensor:
    """A remembered quantity where and laid out as torch would have made it."""
    if value.dim() == 0:  # the count of updates
        fused_on_gpu = parameter.device.type == "cuda"
        return value.clone().to(parameter.device if fused_on_gpu else "cpu")
    if not value.is_floating_point():  # a count of every row
        return value.clone().to(parameter.device)
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
