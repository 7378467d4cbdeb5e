"""The one interface: what a published system must say of itself, and what a user gets from it."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unflat import catalogue
from unflat.data.kinds import Extent, Photos, Scene
from unflat.geometry.cameras import Cameras
from unflat.geometry.meshes import Mesh
from unflat.rendering.shading import Light as Light  # part of this interface

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """What a method gives. It fills the fields it names in `gives`; all others stay None.

    Maps are in the query's view, with colours in [0, 1]; the same in the object's own frame stand in `canonical`.
    """

    rgb: Float[Tensor, "b h w 3"] | None = None
    """the picture as the method explains it"""
    depth: Float[Tensor, "b h w"] | None = None
    """along z; NaN where opacity is under 0.5"""
    normals: Float[Tensor, "b h w 3"] | None = None
    """unit, in the camera's frame, towards the camera"""
    albedo: Float[Tensor, "b h w 3"] | None = None
    shading: Float[Tensor, "b h w"] | None = None
    """what albedo is multiplied with; may exceed 1"""
    opacity: Float[Tensor, "b h w"] | None = None
    confidence: Float[Tensor, "b h w"] | None = None
    """in [0, 1]; for a symmetric method, how well the mirrored object explains the pixel"""
    light: Light | None = None
    cameras: Cameras | None = None
    mesh: tuple[Mesh, ...] | None = None
    """one a picture, in the object's own frame"""
    canonical: "Prediction | None" = None

    @property
    def filled(self) -> tuple[str, ...]:
        """Names of the fields that are there."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)


class Losses:
    """Named, already weighted terms, whose sum is minimised, and figures that are only logged."""

    def __init__(self, terms: dict[str, Tensor], figures: dict[str, Tensor] | None = None) -> None:
        self.terms = terms
        self.figures = figures or {}

    @property
    def total(self) -> Tensor:
        return torch.stack([term.float() for term in self.terms.values()]).sum()


@dataclass(frozen=True)
class Group:
    """Parameters that one rule updates."""

    parameters: Sequence[nn.Parameter]
    rule: str = "adam"
    """adam (decay as L2 in the gradient, as published by most), adamw, or, for tables of which a step reads little,
    touched: Adam that changes only rows with a gradient, and touched_rmsprop, the same of RMSProp"""
    rate: float = 1.0
    """times `Training.rate`"""
    betas: tuple[float, float] = (0.9, 0.999)
    """of the running means of the gradient and of its square; RMSProp has the second only"""
    eps: float = 1e-8
    decay: float = 0.0
    schedule: Callable[[int], float] | None = None
    """step -> factor on the rate; None takes the run's"""
    scales: Tensor | None = None
    """[rows] of each row of its one parameter, times the rate; only of the rule touched"""


@dataclass(frozen=True)
class Symptom:
    """A logged figure that shows that learning goes wrong; the trainer watches for it (`training/watch.py`)."""

    figure: str
    """its name among the terms and figures of `losses`"""
    says: str
    """what the user is told: the reason, and what to do about it"""
    after: int = 0
    """steps; until then the figure says nothing"""
    below: float = -math.inf
    above: float = math.inf
    """the limits between which all is well"""

    def shows(self, value: float) -> bool:
        """Whether a value of the figure is outside the limits; what is no number says nothing."""
        return value < self.below or value > self.above


class Method(nn.Module):
    """A published system. Concrete methods are final and say what they take and give:

    class Unsup3D(Method, config=Config, takes=Photos, gives=("depth", ...)):

    `config` is its settings class, `needs` names fields of the data that must be there, `asks` is what `predict` is
    given (the kind of data unless said otherwise), `field_gives` what its `field` gives beside colours.
    """

    takes: ClassVar[type]
    needs: ClassVar[tuple[str, ...]]
    asks: ClassVar[type]
    gives: ClassVar[tuple[str, ...]]
    field_gives: ClassVar[Literal["density", "distance"]]
    Config: ClassVar[type]
    recipe: ClassVar[int] = 0
    """raised by hand where the same settings begin to give other weights: recorded rows of tables are then run again"""

    config: Any
    extent: Extent
    pixels_at_once: int = 2**18
    """of a picture that cameras ask for; becomes less where memory does not suffice"""

    def __init_subclass__(
        cls,
        *,
        takes: type,
        gives: tuple[str, ...],
        config: type | None = None,
        needs: tuple[str, ...] = (),
        asks: type | None = None,
        field_gives: Literal["density", "distance"] = "density",
        **keywords: Any,
    ) -> None:
        super().__init_subclass__(**keywords)
        if cls.__mro__[1] is not Method:
            parent = cls.__mro__[1].__name__
            raise TypeError(f"{cls.__name__} inherits from {parent}: methods are final, inherit from Method")
        unknown = set(gives) - {f.name for f in fields(Prediction)}
        if unknown:
            raise TypeError(f"{cls.__name__} gives {sorted(unknown)}, which are no fields of Prediction")
        if config is not None:
            cls.Config = config
        cls.takes, cls.needs, cls.asks, cls.gives = takes, needs, asks or takes, gives
        cls.field_gives = field_gives

    def __init__(self, config: Any, extent: Extent) -> None:
        super().__init__()
        self.config = config
        self.extent = extent

    @property
    def scene(self) -> Scene:
        """Of a method that learns one: how it lies. ValueError if the extent has none."""
        if self.extent.scene is None:
            raise ValueError(f"{type(self).__name__} needs the extent of a capture, which has a scene")
        return self.extent.scene

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @classmethod
    def check(cls, data: Any) -> None:
        """Raise ValueError unless the data are of the kind this method takes and hold what it needs."""
        if not isinstance(data, cls.takes):
            raise ValueError(f"{cls.__name__} takes {cls.takes.__name__}, but was given {type(data).__name__}")
        missing = [name for name in cls.needs if getattr(data, name) is None]
        if missing:
            raise ValueError(
                f"{cls.__name__} needs {', '.join(missing)}, but these {cls.takes.__name__} hold none; add "
                f"{' and '.join(missing)} beside the pictures"
            )

    def prepare(self, data: Any) -> None:
        """Look at the data once before the first step, never on resume. What is found becomes a buffer."""

    def batches(self, data: Any, step: int, seed: int) -> Iterator[Any]:
        """Training batches from `step` on, a function of the seed, the step and the method's buffers only."""
        raise NotImplementedError(f"{type(self).__name__} is not trained")

    def losses(self, batch: Any, step: int) -> Losses:
        """What is minimised on one batch."""
        raise NotImplementedError(f"{type(self).__name__} is not trained")

    def parameter_groups(self) -> list[Group]:
        """What the live stage trains; asked again after `update` returned True."""
        return [Group([p for p in self.parameters() if p.requires_grad])]

    def update(self, step: int) -> bool:
        """What changes outside the gradient; True if parameters were replaced."""
        return False

    def symptoms(self) -> tuple[Symptom, ...]:
        """What in the log shows that learning goes wrong, each told once."""
        return ()

    @classmethod
    def suited(cls, experiment: Any, data: Any, started: bool = False) -> tuple[Any, Mapping[str, str]]:
        """The experiment with settings for data that are not its own, and why, by setting: `config.x`, `training.x`.

        Of an experiment that is `started` from other weights, what shapes the networks stays as it is.
        Every setting that differs has its reason, and no other.
        """
        return experiment, {}

    def predict(self, query: Any) -> Prediction:
        """The answer to a query that fits in memory; see `predict_in_pieces`."""
        raise NotImplementedError

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        """Density (absorption per unit of length) and colour in [0, 1] at points of the scene's frame, seen along unit
        directions; where `field_gives` says distance, how far the surface is, negative inside, in place of density."""
        raise NotImplementedError(f"{type(self).__name__} has no field that can be asked at points")


def hosted(name: str, extent: Extent, experiment: str = "") -> "Method":
    """The method that another one wraps, such as NeRF within a visual hull: untrained, with the settings of one of its
    experiments (its first where none is named). It is a module like any other: its state goes into the checkpoint.

    ValueError for a method or an experiment that is not there, or one that has no field to be asked at points.
    """
    entry = catalogue.find(name)
    chosen = catalogue.experiment(name, experiment or next(iter(entry.experiments)))
    if chosen.method.field is Method.field:
        raise ValueError(f"{name} has no field that can be asked at points: take another host, such as nerf")
    host: Method = chosen.method(chosen.config, extent)
    return host


def parameters_of(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """The parameters of several modules, in order."""
    return [p for module in modules for p in module.parameters() if p.requires_grad]


def predictions(method: Method, query: Any, piece: int = 64) -> Iterator[tuple[Any, Prediction]]:
    """Pieces of a query, at most `piece` long, each with its answer (without gradient, in evaluation mode).

    Pictures that cameras would take are answered one by one, a band of rows after another.
    """
    if piece < 1:
        raise ValueError(f"a query cannot be cut into pieces of {piece}; give at least 1")
    _check_query(method, query)
    step = 1 if isinstance(query, Cameras) else piece
    for start in range(0, len(query), step):
        part = query[start : start + step]
        training = method.training
        method.eval()
        try:
            with torch.inference_mode():
                answer = _in_bands(method, part) if isinstance(part, Cameras) else method.predict(part)
        finally:
            method.train(training)
        yield part, answer


def _in_bands(method: Method, camera: Cameras) -> Prediction:
    """The picture of one camera in bands of rows; of fewer where memory does not suffice, which is said."""
    height, width = camera.pinhole.height, camera.pinhole.width
    rows = max(1, method.pixels_at_once // width)
    while True:
        try:
            bands = [method.predict(camera.rows(top, min(top + rows, height))) for top in range(0, height, rows)]
            return joined(bands, along=1)
        except (torch.OutOfMemoryError, MemoryError) as error:
            if rows == 1:
                raise MemoryError(
                    f"there is not memory enough for a row of {width} pixels: close other programs, or ask for a "
                    "smaller picture"
                ) from error
            rows = max(1, rows // 4)
            method.pixels_at_once = rows * width
            _logger.warning("memory ran out: %d rows of a picture are now computed at once", rows)


def _check_query(method: Method, query: Any) -> None:
    """ValueError unless the query is of the kind, and photos of the size, that the method can answer."""
    asked, given = method.asks.__name__, type(query).__name__
    if not isinstance(query, method.asks):
        raise ValueError(f"{type(method).__name__} is asked with {asked}, but was given {given}")
    if isinstance(query, Photos) and query.extent.size != method.extent.size:
        (height, width), (its_height, its_width) = query.extent.size, method.extent.size
        raise ValueError(
            f"the photos are {width} x {height} px, but the model was trained at {its_width} x {its_height}: read them "
            f"with size={its_width}"
        )


def predict_in_pieces(method: Method, query: Any, piece: int = 64) -> Prediction:
    """The answer to a query of any length, predicted a piece at a time."""
    if len(query) == 0:
        raise ValueError("there is nothing to predict: the query is empty")
    return joined([answer for _, answer in predictions(method, query, piece)])


def joined(predictions: Sequence[Prediction], along: int = 0) -> Prediction:
    """Predictions of consecutive pieces of a query as one; `along` 1, of consecutive rows of the same pictures."""
    first = predictions[0]
    if len(predictions) == 1:
        return first
    return replace(first, **{name: _join([getattr(p, name) for p in predictions], along) for name in first.filled})


def _join(parts: list[Any], along: int) -> Any:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts, along)
    if isinstance(first, tuple):
        return tuple(item for part in parts for item in part)
    if isinstance(first, Prediction):
        return joined(parts, along)
    if not is_dataclass(first):
        return first
    values = [getattr(first, f.name) for f in fields(first)]
    if not any(isinstance(value, Tensor) or is_dataclass(value) for value in values):
        return first  # plain data that the pieces share, such as a pinhole
    joint = {f.name: _join([getattr(p, f.name) for p in parts], along) for f in fields(first)}
    cls: Any = type(first)
    return cls(**joint)
