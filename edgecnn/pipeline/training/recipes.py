"""How a network is trained: every option, and the recipe that sets them for an architecture and a data source.

Recipes are data: `recipes.toml` beside this file is the whole table.
"""

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from edgecnn.errors import UsageError

CACHE_MIB = 2048
"""Images are kept in memory up to this size; no part of a recipe, because it changes no result."""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained; each field's help is what the command line shows.

    AdamW: Loshchilov and Hutter, 2019. SGD with Nesterov momentum: Sutskever et al., 2013. A learning rate that rises
    and falls once: Smith and Topin, 2018. Label smoothing: Szegedy et al., 2016, section 7.
    """

    epochs: int = _option(20, "Passes over the training images.")
    batch_size: int = _option(64, "Images a step, over all processes.")
    optimizer: Literal["adamw", "sgd"] = _option("adamw", "sgd has Nesterov momentum of 0.9.")
    learning_rate: float = _option(1e-3, "Highest learning rate of the schedule.")
    schedule: Literal["cosine", "linear", "constant"] = _option("cosine", "How the learning rate falls.")
    warmup: float = _option(0.3, "Share of the steps in which the learning rate rises.")
    weight_decay: float = _option(0.01, "Decay of weights; norms and biases have none.")
    label_smoothing: float = _option(0.05, "Share of the target that is spread over all classes.")
    flip: bool = _option(False, "Mirror half of the images.")
    shift: float = _option(0.08, "Largest random shift, as a fraction of the image's size.")
    rotation: float = _option(0.0, "Largest random rotation, in degrees.")
    zoom: float = _option(0.0, "Largest random scaling: 0.1 is from 0.9 to 1.1.")
    validation: float = _option(0.1, "Share of the training images that choose the best epoch.")
    image_size: int | None = _option(None, "Height and width that images are resized to. [default: the architecture's]")
    stem: Literal["standard", "small"] = _option("standard", "small keeps the size of small images (ResNet).")
    freeze: bool = _option(False, "Train the last layer alone; needs --weights.")
    device: Literal["auto", "cpu", "cuda"] = _option("auto", "Where to train; auto takes a GPU where there is one.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = _option(
        "auto", "What layers compute in while training; auto takes bf16 where the hardware has it."
    )
    seed: int = _option(0, "Seed of the weights, the order of the images and the augmentation.")

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        for name in ("weight_decay", "shift", "rotation", "zoom"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        for name in ("zoom", "label_smoothing", "warmup", "validation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), found {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0..2^63-1, found {self.seed}")


def recipe(architecture: str, source: str, **overrides: Any) -> TrainingOptions:
    """Return how to train an architecture on a source: the defaults, the table's values, then the overrides.

    An override of None leaves the recipe's value.

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
    """Return the table: architecture, then source, then options; `*` stands for every other one."""
    return tomllib.loads(files(__package__).joinpath("recipes.toml").read_text(encoding="utf-8"))


def differing(first: TrainingOptions, second: TrainingOptions) -> list[str]:
    """Name the options in which two differ, with both values."""
    theirs = dataclasses.asdict(second)
    return [
        f"--{name.replace('_', '-')} {value} → {theirs[name]}"
        for name, value in dataclasses.asdict(first).items()
        if value != theirs[name]
    ]
