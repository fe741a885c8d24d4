"""A statement with a clearly better top-1 than the stated preprocessing is found, and only then."""

from dataclasses import replace

import numpy as np
import pytest
from tints import LABELS, PREPROCESSING, subject, write_tints

from edgecnn.pipeline.checking.accuracy import better_statement
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.data.source import Split
from edgecnn.progress import silent


@pytest.fixture(scope="module")
def test_images(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return ImageFolder(write_tints(tmp_path_factory.mktemp("tints") / "tints")).split("test")


def as_bgr(split: Split) -> Split:
    """Exchange red and blue in the targets, as if the network took BGR."""
    return replace(split, targets=np.array([4, 1, 2, 3, 0])[split.known_targets()])


def test_right_statement_has_no_better_one(test_images: Split):
    assert better_statement(test_images, subject(), progress=silent) is None


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.0, 1 / 255)])
def test_names_another_range_of_pixels(test_images: Split, mean: float, std: float):
    stated = replace(PREPROCESSING, mean=(mean,) * 3, std=(std,) * 3)
    better = better_statement(test_images, subject(stated), progress=silent)
    assert better is not None
    assert str(better.statement) == "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5"
    assert better.top1 > better.stated_top1 + 0.1


def test_names_bgr_images(test_images: Split):
    better = better_statement(as_bgr(test_images), subject(), progress=silent)
    assert better is not None
    assert better.statement.words == ("BGR images",)
    assert str(better).startswith("top-1 is ")
    assert str(better).endswith(f"on {len(test_images)} images)")


def test_needs_one_label_per_image(test_images: Split):
    several = np.eye(len(LABELS), dtype=np.int64)[test_images.known_targets()]
    for targets in (None, several):
        assert better_statement(replace(test_images, targets=targets), subject(), progress=silent) is None


def test_few_images_are_no_evidence(test_images: Split):
    few = test_images.subset([0, 1, 70, 71])
    assert better_statement(as_bgr(few), subject(), progress=silent) is None


def test_shows_progress(test_images: Split):
    shown: list[tuple[str, int, int]] = []
    few = test_images.subset(range(2))
    better_statement(few, subject(), progress=lambda stage, done, total, *_: shown.append((stage, done, total)))
    assert shown[0][:2] == ("other statements", 0)
    assert shown[-1][1] == shown[-1][2]


@pytest.mark.slow
def test_uses_at_most_256_images(test_images: Split):
    many = test_images.subset([*range(len(test_images))] * 5)
    better = better_statement(as_bgr(many), subject(), progress=silent)
    assert better is not None
    assert better.images == 256
