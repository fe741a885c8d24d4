"""Calibration configs: JSON files that name the calibration images, so that a bundle can be rebuilt.

Calibration uses training images only. Otherwise the test images would not be independent.
"""

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, OverlapWarning, SourceError, TestSplitRefused, UsageError
from edgecnn.files import schema
from edgecnn.pipeline.data.held_out import unreserved
from edgecnn.pipeline.data.source import DataSource, Split
from edgecnn.pipeline.data.sources import open_source

COUNT = 300


@dataclass(frozen=True)
class CalibrationConfig:
    """The calibration images: at most `count` of the source's training images, chosen at random by `seed`.

    `source` is a data source's name, or an image folder relative to the config file. If `digest` is given, the chosen
    images must match it.
    """

    source: str
    split: str = "train"
    count: int = COUNT
    seed: int = 0
    digest: str | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1, found {self.count}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0..2^63-1, found {self.seed}")


@dataclass(frozen=True)
class CalibrationImages:
    """The chosen images, their source, and the seed of the choice."""

    source: DataSource
    chosen: Split
    seed: int


def open_calibration(
    text: str, *, count: int | None = None, seed: int | None = None, reserved: float = 0.0, strict: bool = False
) -> CalibrationImages:
    """Open the argument of `--calibration`: a calibration config (JSON), or a data source, with classes or without.

    `count` and `seed` override the values of the config. Images that the training of the bundle reserved are left out;
    `reserved` is their share. `strict` turns warnings into errors.

    Raises:
        TestSplitRefused: the config names another split than `train`.
        UsageError: the config is not valid.
        SourceError: the images are missing, or do not match the config's digest.
    """
    path = Path(text)
    if path.is_file() and path.suffix == ".json":
        config, folder = read_calibration_config(path), path.parent
    elif path.suffix == ".json":
        raise UsageError(f"calibration config {path} does not exist: pass a config file or a data source")
    else:
        config, folder = CalibrationConfig(text), Path()
    overridden = count is not None or seed is not None
    try:
        config = dataclasses.replace(
            config, count=config.count if count is None else count, seed=config.seed if seed is None else seed
        )
    except ValueError as error:
        raise UsageError(f"calibration options are not valid: {error}") from None
    source = open_source(config.source, relative_to=folder, needs_classes=False, strict=strict)
    chosen = choose(unreserved(source.split("train"), reserved), config.count, config.seed)
    if config.digest is not None and not overridden and chosen.digest != config.digest:
        raise SourceError(
            f"the images of {config.source} do not match {path.name} (digest {chosen.digest[:12]}…, expected "
            f"{config.digest[:12]}…): the source has changed; write a new calibration config"
        )
    return CalibrationImages(source, chosen, config.seed)


def read_calibration_config(path: Path) -> CalibrationConfig:
    """Read a calibration config.

    Raises:
        TestSplitRefused: it names another split than `train`.
        UsageError: it cannot be read or is not valid.
    """
    try:
        config = schema.parse(CalibrationConfig, path.read_bytes())
    except (OSError, schema.SchemaError) as error:
        raise UsageError(f"{path} is not a calibration config: {error}") from None
    if config.split != "train":
        raise TestSplitRefused(
            f"{path} has the split {config.split!r}, expected train: calibration must not use test images, "
            f'because the accuracy is measured on them; write "split": "train"'
        )
    return config


def choose(split: Split, count: int, seed: int) -> Split:
    """Choose `count` images at random, or all if there are fewer. The same seed chooses the same images.

    Known classes take turns, so that they are balanced: activations of a class without calibration images may clip.
    Images that cannot be decoded are skipped.
    """
    return split.take(_turns(split, seed), count)


def held_out(split: Split, calibration: Split, count: int, seed: int) -> Split:
    """Choose `count` images like `choose`, without the calibration images."""
    seen = {calibration.images.digest(i) for i in range(len(calibration))}
    return split.take((index for index in _turns(split, seed) if split.images.digest(index) not in seen), count)


def short_digests(split: Split) -> tuple[str, ...]:
    """Return the first 16 hexadecimal digits of each image's digest, as stored in a proof."""
    return tuple(split.images.digest(index).hex()[:16] for index in range(len(split)))


def check_unseen(bundle: Bundle, split: Split, *, strict: bool = False) -> None:
    """Check that an INT8 bundle was not calibrated with these images.

    Warns:
        OverlapWarning: it was calibrated with some of them.

    Raises:
        EdgecnnError: it was calibrated with some of them, and `strict` is set.
    """
    seen = set(bundle.proof().calibration_images)
    shared = sum(digest in seen for digest in short_digests(split)) if seen else 0
    if not shared:
        return
    message = (
        f"{bundle.path} was calibrated with {shared} of these {len(split)} images: "
        f"its accuracy on them is too optimistic"
    )
    if strict:
        raise EdgecnnError(message)
    warnings.warn(message, OverlapWarning, stacklevel=2)


def _turns(split: Split, seed: int) -> list[int]:
    """Return all indices in a random order in which the classes take turns."""
    order = np.random.default_rng(seed).permutation(len(split))
    groups = split.groups[order]
    turn = np.empty(len(order), np.int64)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        turn[members] = np.arange(len(members))
    return [int(index) for index in order[np.argsort(turn, kind="stable")]]
