"""Finds images that are new to both networks: one part chooses the threshold, another one bounds the disagreement."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.pipeline.cascades.bound import least_images
from edgecnn.pipeline.cascades.options import CascadeOptions
from edgecnn.pipeline.data.held_out import is_reserved, unreserved
from edgecnn.pipeline.data.source import Split

Unseen = Literal["reserved", "stated"]


@dataclass(frozen=True)
class UnseenImages:
    """Disjoint images that are new to both networks.

    Attributes:
        how: how that is known; see `CascadeRecord.unseen`.
        choosing: images that choose the threshold.
        bounding: images that bound the disagreement.
    """

    how: Unseen
    choosing: Split
    bounding: Split


def find_unseen(
    fast: Bundle,
    accurate: Bundle,
    training: Split,
    test: Split,
    options: CascadeOptions,
) -> UnseenImages:
    """Choose the images, half of them for each purpose.

    Args:
        fast: the fast bundle.
        accurate: the accurate bundle.
        training: the training split of the data.
        test: its test split. Its images are left out.
        options: the agreement to show, and which images to use.

    Raises:
        UsageError: a network was trained with the images, or it is unknown what it was trained with, or the images
            are too few. The message has the number that is needed.
    """
    share = _check_training(fast, accurate, training, is_stated=options.unseen)
    needed, count = 2 * least_images(options.limit), options.count
    if count is not None and count < needed:
        raise UsageError(f"--count {count} is too small for {_what(options, needed)}")
    seen = {digest for bundle in (fast, accurate) for digest in bundle.proof().calibration_images}
    tested = {test.images.digest(index) for index in range(len(test))}
    found: dict[bytes, int] = {}  # copies of an image must not be in both parts
    for index in range(len(training)):
        digest = training.images.digest(index)
        is_new = share is None or is_reserved(digest, share)
        if is_new and digest not in tested and digest.hex()[:16] not in seen:
            found.setdefault(digest, index)
    indices = np.random.default_rng(options.seed).permutation(list(found.values()))
    if len(indices) < needed:
        which = "images" if share is None else f"images that both networks reserved ({share:.3g} of the training split)"
        more = "pass more with --data" if share is None else "train with a larger --reserve"
        raise UsageError(f"{training.source} has {len(indices)} {which}, too few for {_what(options, needed)}: {more}")
    usable = training.take((int(index) for index in indices), len(indices) if count is None else count)
    half = len(usable) // 2
    return UnseenImages(
        "stated" if share is None else "reserved", usable.subset(range(half)), usable.subset(range(half, len(usable)))
    )


def _check_training(fast: Bundle, accurate: Bundle, training: Split, *, is_stated: bool) -> float | None:
    """Return the share of reserved images; None if the user states that all are new.

    Raises:
        UsageError: it cannot be shown that images are new, or they are not.
    """
    share = min(bundle.manifest.provenance.reserved for bundle in (fast, accurate))
    if share and not is_stated:
        return share
    for bundle in (fast, accurate):
        known = bundle.manifest.provenance.training
        own = bundle.manifest.provenance.reserved
        if known is not None and known.digest == unreserved(training, own).digest:
            how = (
                "train it with --reserve, or pass other images with --data and --unseen" if not own else "omit --unseen"
            )
            raise UsageError(
                f"{bundle.path} was trained with {known.images} of the {len(training)} training images of "
                f"{training.source}, so its answers to them do not bound its disagreement: {how}"
            )
        if not is_stated and not own:
            trained = "no training images on record" if known is None else f"{known.images} images of {known.source}"
            raise UsageError(
                f"{bundle.path} has reserved no images ({trained}): train it with --reserve, or add --unseen if no "
                f"training image of {training.source} was used to train, to choose the epoch, or for the gate"
            )
    return None


def _what(options: CascadeOptions, needed: int) -> str:
    return (
        f"--min-agreement {options.min_agreement:g}: it takes {needed // 2} images to choose the threshold and "
        f"{needed // 2} others without a differing answer for the bound"
    )
