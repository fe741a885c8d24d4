"""Statements about preprocessing that are easily confused with the stated one, and the options that make them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from edgecnn.bundle.choices import Interpolation
from edgecnn.bundle.decoding import ImageLike
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.pipeline.importing.options import MEAN, STD
from edgecnn.pipeline.reference import IndependentSession

_LARGEST_STD_OF_LEVELS = 0.02
"""Networks that take pixels in 0..255 have a smaller standard deviation of pixels in [0, 1], others a larger one."""

_RANGES: tuple[tuple[float, float], ...] = ((0.0, 1.0), (0.0, 1 / 255), (0.5, 0.5))
"""Mean and standard deviation of pixels in 0..1, 0..255 and -1..1."""


@dataclass(frozen=True)
class Statement:
    """One way to prepare images.

    Attributes:
        preprocessing: the steps.
        is_reversed: whether the channels are in the other order than the reference takes them.
        words: the options that change the stated preprocessing into this one; empty for the stated one.
    """

    preprocessing: Preprocessing
    is_reversed: bool = False
    words: tuple[str, ...] = ()

    def inputs_of(self, images: Iterable[ImageLike], session: IndependentSession) -> np.ndarray:
        """Return the network's inputs under this statement, float32 [N, C, H, W]."""
        inputs = session.inputs_of(images, preprocessing=self.preprocessing)
        return inputs[:, ::-1] if self.is_reversed else inputs

    def __str__(self) -> str:
        return " ".join(self.words)


def reversals(stated: Statement, session: IndependentSession, *, has_option: bool) -> Iterator[Statement]:
    """Yield the statement with the channels of colour images in the other order.

    `has_option` says whether the command has the option --channel-order.
    """
    if stated.preprocessing.mode == "RGB":
        other = "rgb" if takes_bgr(session, stated.preprocessing) else "bgr"
        word = f"--channel-order {other}" if has_option else f"{other.upper()} images"
        yield replace(stated, is_reversed=True, words=(*stated.words, word))


def ranges(stated: Statement) -> Iterator[Statement]:
    """Yield the statement with other usual ranges of the pixels: 0..1, 0..255, -1..1, and ImageNet's normalization."""
    preprocessing, channels = stated.preprocessing, stated.preprocessing.channels
    usual = [((mean,) * channels, (std,) * channels) for mean, std in _RANGES]
    for mean, std in [*usual, *([(MEAN, STD)] if channels == 3 else [])]:
        if not np.allclose((mean, std), (preprocessing.mean, preprocessing.std), atol=0.005, rtol=0.02):
            changed = replace(preprocessing, mean=mean, std=std)
            yield replace(stated, preprocessing=changed, words=(*stated.words, normalization_words(mean, std)))


def interpolations(stated: Statement, kinds: Sequence[Interpolation] = get_args(Interpolation)) -> Iterator[Statement]:
    """Yield the statement with other filters of the resize."""
    resize = stated.preprocessing.resize
    for kind in kinds if resize is not None else ():
        if resize is not None and kind != resize.interpolation:
            changed = replace(stated.preprocessing, resize=replace(resize, interpolation=kind))
            yield replace(stated, preprocessing=changed, words=(*stated.words, f"--interpolation {kind}"))


def without_crop(stated: Statement, size: tuple[int, int]) -> Iterator[Statement]:
    """Yield the statement that resizes images straight to the height and width of the network's input."""
    resize = stated.preprocessing.resize
    straight = Resize(size, "bilinear" if resize is None else resize.interpolation)
    if stated.preprocessing.crop is not None and straight != resize:
        yield _resized(stated, straight, f"--resize {size[0]},{size[1]} --crop none")


def resizes(stated: Statement, size: tuple[int, int]) -> Iterator[Statement]:
    """Yield the statement with other usual ways to reach the network's input size."""
    yield from without_crop(stated, size)
    given, side = stated.preprocessing.resize, min(size)
    kind = "bilinear" if given is None else given.interpolation
    for shorter in dict.fromkeys((side, round(side * 256 / 224), round(side * 232 / 224), round(side / 0.875))):
        if (resize := Resize((shorter,), kind)) != given:
            yield _resized(stated, resize, f"--resize {shorter} --crop {size[0]},{size[1]}", crop=size)
    for fill in (0, 114):
        if (resize := Resize(size, kind, "letterbox", (fill,))) != given:
            words = f"--resize {size[0]},{size[1]} --resize-mode letterbox --fill {fill} --crop none"
            yield _resized(stated, resize, words)


def normalization_words(mean: Sequence[float], std: Sequence[float]) -> str:
    """Return the options that state a mean and a standard deviation of pixels in [0, 1], per channel."""
    scale, prefix = (255, "--pixel-range 0-255 ") if max(std) < _LARGEST_STD_OF_LEVELS else (1, "")
    return f"{prefix}--mean {_listed(mean, scale)} --std {_listed(std, scale)}"


def _listed(values: Sequence[float], scale: float) -> str:
    return ",".join(f"{round(value * scale, 3) + 0:g}" for value in values)  # `+ 0` changes -0 to 0


def _resized(stated: Statement, resize: Resize, words: str, *, crop: tuple[int, int] | None = None) -> Statement:
    changed = replace(stated.preprocessing, resize=resize, crop=crop)
    return replace(stated, preprocessing=changed, words=(*stated.words, words))


def takes_bgr(session: IndependentSession, preprocessing: Preprocessing) -> bool:
    """Return whether the network takes BGR: whether a red image changes the last channel of its input."""
    black, red = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = 255
    plain = replace(preprocessing, resize=None, crop=None)
    dark, bright = session.inputs_of([black, red], preprocessing=plain)[:, :, 0, 0]
    return bool(dark[2] != bright[2])
