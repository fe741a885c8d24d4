"""Training options, and recipes that set them for an architecture and a data source.

`recipes.toml` in this folder contains all recipes.
"""

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from edgecnn.errors import UsageError
from edgecnn.files.schema import ADDED

CACHE_MIB = 2048
"""Images are kept in memory up to this size. Not part of a recipe, because it does not change the result."""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingOptions:
    """Training options. The command line shows each field's help text.

    AdamW: Loshchilov and Hutter, 2019. SGD with Nesterov momentum: Sutskever et al., 2013. A learning rate that rises
    and falls once: Smith and Topin, 2018. Label smoothing: Szegedy et al., 2016, section 7.
    """

    epochs: int = _option(20, "Passes over the training images.")
    batch_size: int = _option(64, "Images per step, over all processes.")
    optimizer: Literal["adamw", "sgd"] = _option("adamw", "sgd has Nesterov momentum of 0.9.")
    learning_rate: float = _option(1e-3, "Highest learning rate of the schedule.")
    schedule: Literal["cosine", "linear", "constant"] = _option("cosine", "Decay of the learning rate.")
    warmup: float = _option(0.3, "Share of the steps in which the learning rate rises.")
    weight_decay: float = _option(0.01, "Weight decay; does not apply to norms and biases.")
    label_smoothing: float = _option(0.05, "Share of the target that is spread over all classes.")
    flip: bool = _option(False, "Mirror half of the images.")
    shift: float = _option(0.08, "Largest random shift, as a fraction of the image's size.")
    rotation: float = _option(0.0, "Largest random rotation, in degrees.")
    zoom: float = _option(0.0, "Largest random scaling; 0.1 scales by 0.9 to 1.1.")
    validation: float = _option(0.1, "Share of the training images used to select the best epoch.")
    reserve: float = field(
        default=0.0,
        metadata={"help": "Share of the training images that training uses for nothing, for `cascade`."} | ADDED,
    )
    image_size: int | tuple[int, int] | None = _option(
        None, "Height and width to resize images to. [default: the architecture's, or less for small images]"
    )
    stem: Literal["standard", "small"] | None = _option(
        None, "small keeps the size of small images (ResNet). [default: small if the size is chosen below 64]"
    )
    freeze: bool = _option(False, "Train the last layer only; needs --weights.")
    device: Literal["auto", "cpu", "cuda"] = _option("auto", "Device to train on; auto uses a GPU if available.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = _option(
        "auto", "Precision of the layers during training; auto uses bf16 if the hardware supports it."
    )
    seed: int = _option(0, "Seed of the weights, the order of the images and the augmentation.")

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        for name in ("weight_decay", "shift", "rotation", "zoom"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        for name in ("zoom", "label_smoothing", "warmup", "validation", "reserve"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), found {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0..2^63-1, found {self.seed}")


def recipe(architecture: str, source: str, **overrides: Any) -> TrainingOptions:
    """Return the training options for an architecture and a source: defaults, then recipes, then overrides.

    An override of None is ignored.

    Raises:
        UsageError: a value is out of range.
    """
    table = recipes()
    values: dict[str, Any] = {}
    for architectures in ("*", architecture):
        for sources in ("*", source):
            values |= table.get(architectures, {}).get(sources, {})
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return TrainingOptions(**values)
    except ValueError as error:
        raise UsageError(str(error)) from None


@cache
def recipes() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the recipes: architecture, then source, then options. `*` matches any other name."""
    return tomllib.loads(files(__package__).joinpath("recipes.toml").read_text(encoding="utf-8"))


def differing(first: TrainingOptions, second: TrainingOptions) -> list[str]:
    """Return the differing options, each as text with both values."""
    theirs = dataclasses.asdict(second)
    return [
        f"--{name.replace('_', '-')} {value} → {theirs[name]}"
        for name, value in dataclasses.asdict(first).items()
        if value != theirs[name]
    ]
