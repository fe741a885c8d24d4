"""Tests that threshold and bound use images that neither network has seen."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.pipeline.cascades.options import CascadeOptions
from edgecnn.pipeline.cascades.unseen import UnseenImages, find_unseen
from edgecnn.pipeline.data.held_out import is_reserved, reserved, unreserved
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.calibration_config import short_digests


def split(name: str) -> Split:
    return open_source("digits").split(name)


def digests(images: Split) -> set[bytes]:
    return {images.images.digest(index) for index in range(len(images))}


def reserving(bundle: Bundle, share: float) -> Bundle:
    """Return a bundle whose training reserved a share of the digits."""
    training = unreserved(split("train"), share).reference()
    provenance = dataclasses.replace(bundle.manifest.provenance, training=training, reserved=share)
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, provenance=provenance))


def found(fast: Bundle, accurate: Bundle, **options: Any) -> UnseenImages:
    return find_unseen(fast, accurate, split("train"), split("test"), options=CascadeOptions(95, **options))


def refused(fast: Bundle, accurate: Bundle, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        found(fast, accurate, **options)
    return str(caught.value)


def test_reserved_shares_are_nested_and_complete():
    images = split("train")
    some, more = digests(reserved(images, 0.2)), digests(reserved(images, 0.4))
    assert some < more
    assert 0.15 * len(images) < len(some) < 0.25 * len(images)
    assert not digests(unreserved(images, 0.2)) & some
    assert digests(unreserved(images, 0.2)) | some == digests(images)
    assert unreserved(images, 0) is images


def test_takes_images_that_both_networks_reserved(committed: Bundle):
    images = found(reserving(committed, 0.3), reserving(committed, 0.6))
    choosing, bounding = digests(images.choosing), digests(images.bounding)
    assert images.how == "reserved"
    assert not choosing & bounding
    assert all(is_reserved(digest, 0.3) for digest in choosing | bounding)
    assert 0 <= len(images.bounding) - len(images.choosing) <= 1


def test_leaves_out_calibration_and_test_images(committed: Bundle):
    images = found(reserving(committed, 0.5), reserving(committed, 0.5))
    used = {digest.hex()[:16] for digest in digests(images.choosing) | digests(images.bounding)}
    assert not used & set(committed.proof().calibration_images)
    assert not used & set(short_digests(split("test")))


def test_another_seed_divides_them_otherwise(committed: Bundle):
    bundle = reserving(committed, 0.5)
    assert digests(found(bundle, bundle).choosing) == digests(found(bundle, bundle).choosing)
    assert digests(found(bundle, bundle).choosing) != digests(found(bundle, bundle, seed=1).choosing)


def test_count_limits_them(committed: Bundle):
    bundle = reserving(committed, 0.5)
    images = found(bundle, bundle, count=130)
    assert len(images.choosing) == len(images.bounding) == 65
    assert "it takes 59 images to choose the threshold and 59 others" in refused(bundle, bundle, count=117)


def test_too_few_images_are_refused_with_the_number_that_is_needed(committed: Bundle):
    bundle = reserving(committed, 0.02)
    assert "too few for --min-agreement 95: it takes 59 images" in refused(bundle, bundle)


def test_training_images_are_refused(committed: Bundle):
    trained = reserving(committed, 0)
    assert f"was trained with {len(split('train'))} of the" in refused(trained, trained, unseen=True)
    assert "omit --unseen" in refused(reserving(committed, 0.5), reserving(committed, 0.5), unseen=True)


def test_unknown_training_images_must_be_stated_as_unseen(committed: Bundle):
    unknown = dataclasses.replace(committed.manifest.provenance, training=None)
    bundle = Bundle(Path("imported"), dataclasses.replace(committed.manifest, provenance=unknown), committed.digest)
    unread = dataclasses.replace(bundle, path=committed.path)
    assert "has reserved no images (no training images on record)" in refused(unread, unread)
    assert found(unread, unread, unseen=True).how == "stated"
