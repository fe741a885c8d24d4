"""How a network is trained: the options, and the only place where their defaults are written."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained; each field's help is what the command line shows.

    AdamW (Loshchilov and Hutter, 2019) with a one-cycle schedule (Smith and Topin, 2018); label smoothing as in Szegedy
    et al., 2016, section 7.
    """

    epochs: int = _option(40, "Passes over the training images.")
    batch_size: int = _option(64, "Images a step.")
    learning_rate: float = _option(5e-3, "Highest learning rate of the schedule.")
    weight_decay: float = _option(0.01, "Decay of weights; norms and biases have none.")
    label_smoothing: float = _option(0.05, "Share of the target that is spread over all classes.")
    shift: float = _option(0.08, "Largest random shift, as a fraction of the image's size.")
    rotation: float = _option(10.0, "Largest random rotation, in degrees.")
    zoom: float = _option(0.1, "Largest random scaling: 0.1 is from 0.9 to 1.1.")
    image_size: int | None = _option(None, "Height and width that images are resized to. [default: the architecture's]")
    stem: Literal["standard", "small"] = _option("standard", "small keeps the size of small images (ResNet).")
    seed: int = _option(0, "Seed of the weights, the order of the images and the augmentation.")

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        for name in ("weight_decay", "shift", "rotation", "zoom"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        if self.zoom >= 1:
            raise ValueError(f"zoom must be below 1, found {self.zoom}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0..2^63-1, found {self.seed}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), found {self.label_smoothing}")
