"""A device that is not the CPU and yet runs on it, to see on a machine without a GPU that nothing mixes the two.

    python -m tests.oracles.pretended_device METHOD ...

Its tensors say that they are on `npy` and hold a tensor of the CPU. Whatever is computed with one of them and with a
tensor of the CPU that has dimensions is refused, as a GPU would refuse it. Each method's smallest experiment learns,
predicts and answers there. It runs in a process of its own, since torch's spare device is registered for good.
"""

import contextlib
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.utils.backend_registration as registration
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "npy"
aten = torch.ops.aten
INDEXING = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index)
"""a GPU takes indices that are on the CPU"""


class Elsewhere(torch.Tensor):
    """A tensor of the pretended device, and the one of the CPU that it is."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "Elsewhere":
        strides = inner.stride() if inner.layout == torch.strided else None
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined, no-any-return]
            cls, inner.shape, strides=strides, dtype=inner.dtype, device=torch.device(NAME, 0), layout=inner.layout
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def tolist(self) -> Any:
        return self.inner.tolist()

    def numpy(self, *given: Any, **named: Any) -> Any:
        raise TypeError(f"a tensor on {NAME} is no array: .cpu() first")

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return computed(function, given, named or {})


def computed(function: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """What an operation gives, computed on the CPU. RuntimeError where it mixes devices."""
    tensors = [part for part in tree_flatten((given, named))[0] if isinstance(part, torch.Tensor)]
    there = [part for part in tensors if isinstance(part, Elsewhere)]
    moves = function in (aten._to_copy.default, aten.copy_.default)
    indexes = getattr(function, "overloadpacket", None) in INDEXING and isinstance(given[0], Elsewhere)
    others = [tuple(part.shape) for part in tensors if not isinstance(part, Elsewhere) and part.dim()]
    if there and others and not moves and not indexes:
        raise RuntimeError(f"{function} was given tensors of two devices; those of the CPU have the shapes {others}")
    stays = bool(there) if named.get("device") is None else torch.device(named["device"]).type == NAME
    if function is aten.copy_.default:
        stays = isinstance(given[0], Elsewhere)
    plain = {"device": torch.device("cpu")} if named.get("device") is not None else {}
    found = function(*tree_map(_inner, given), **tree_map(_inner, {**named, **plain}))
    if function._schema.name.endswith("_") and isinstance(given[0], Elsewhere):  # in place
        return given[0]
    known = {id(part.inner): part for part in there}

    def outer(part: Any) -> Any:
        if not isinstance(part, torch.Tensor):
            return part
        return known[id(part)] if id(part) in known else Elsewhere(part)

    return tree_map(outer, found) if stays else found


def _inner(part: Any) -> Any:
    return part.inner if isinstance(part, Elsewhere) else part


class Computing(TorchDispatchMode):
    """So that what has no tensor among its arguments comes here, too."""

    def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return computed(function, given, named or {})


class Making(TorchFunctionMode):
    """Tensors from Python's numbers, which are made past `Computing`."""

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        named = named or {}
        device = named.get("device")
        if function in (torch.tensor, torch.as_tensor) and device is not None and torch.device(device).type == NAME:
            return function(*given, **{**named, "device": "cpu"}).to(NAME)
        return function(*given, **named)


class _Module(registration._DummyBackendModule):  # type: ignore[name-defined, misc]
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def synchronize(self) -> None:
        pass


@contextlib.contextmanager
def pretended() -> Any:
    """Inside, torch has the device."""
    registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())  # type: ignore[attr-defined]
    library = torch.library.Library("aten", "IMPL")

    def empty(size: Any, dtype: Any = None, **_: Any) -> Elsewhere:
        return Elsewhere(torch.empty(size, dtype=dtype))

    def empty_strided(size: Any, stride: Any, dtype: Any = None, **_: Any) -> Elsewhere:
        return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))

    def copied(source: Any, into: Any, non_blocking: bool = False) -> Any:
        _inner(into).copy_(_inner(source))
        return into

    for name, function in (("empty.memory_format", empty), ("empty_strided", empty_strided), ("_copy_from", copied)):
        library.impl(name, function, "PrivateUse1")
    # tensors of inference mode have no versions, which wrappers need
    torch.inference_mode = lambda mode=True: torch.no_grad() if mode else contextlib.nullcontext()  # type: ignore[assignment, misc]
    with Making(), Computing():
        yield


def tried(name: str) -> None:
    """Learn a method's smallest experiment on the device, predict, and ask its field."""
    from unflat import catalogue
    from unflat.method import predict_in_pieces
    from unflat.training.experiment import made
    from unflat.training.run import train

    experiment = catalogue.experiment(name, "tiny")
    data = made(experiment.data)
    with tempfile.TemporaryDirectory() as folder:
        training = replace(experiment.training, device=NAME)
        run = train(
            experiment.method, data, out=Path(folder) / "run", config=experiment.config, training=training, quiet=True
        )
    assert run.method.device.type == NAME and all(p.device.type == NAME for p in run.method.parameters())
    if not hasattr(data, "cameras"):
        return
    seen = predict_in_pieces(run.method, data.cameras(0))
    assert seen.rgb is not None and seen.rgb.device.type == NAME
    points = torch.zeros(5, 3, device=NAME)
    density, _ = run.method.field(points, torch.nn.functional.normalize(points + 1, dim=1))
    assert density.device.type == NAME


def main(names: list[str]) -> None:
    with pretended():
        try:
            torch.ones(3, device=NAME) + torch.ones(3)
        except RuntimeError as error:
            assert "two devices" in str(error)
        else:
            raise AssertionError("devices may be mixed: what follows would say nothing")
        for name in names:
            tried(name)
            print(name)


if __name__ == "__main__":
    main(sys.argv[1:])
