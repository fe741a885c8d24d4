"""Classes of images and of a model match by name."""

import unicodedata

import numpy as np
import pytest

from edgecnn.errors import SourceError, SourceWarning
from edgecnn.pipeline.data.images import ArrayImages
from edgecnn.pipeline.data.matching import match_classes, match_or_drop_classes
from edgecnn.pipeline.data.source import Split


def split(*targets: int, strict: bool = False) -> Split:
    pixels = np.zeros((len(targets), 2, 2), np.uint8)
    return Split("pets", "test", ArrayImages(pixels), np.array(targets, np.int64), strict=strict)


def matched(found: Split, labels: tuple[str, ...], expected: tuple[str, ...]) -> list[int]:
    targets = match_classes(found, labels, expected, "the model").targets
    assert targets is not None
    return [int(target) for target in targets]


def test_matches_names_in_any_order():
    assert matched(split(0, 1, 1), ("cat", "dog"), ("dog", "cat")) == [1, 0, 0]
    numbers = tuple(map(str, range(12)))
    assert matched(split(*range(12)), tuple(sorted(numbers)), numbers) == [int(name) for name in sorted(numbers)]
    decomposed = unicodedata.normalize("NFD", "café")
    assert matched(split(0, 1), (decomposed, "thé"), ("thé", "café")) == [1, 0]


def test_scores_a_subset_and_says_so():
    with pytest.warns(SourceWarning, match=r"pets has images of 2 of the 4 classes of the model: accuracy covers"):
        assert matched(split(0, 1), ("bird", "dog"), ("ant", "dog", "bird", "cat")) == [2, 1]
    with pytest.raises(SourceError, match="2 of the 4 classes"):
        matched(split(0, 1, strict=True), ("bird", "dog"), ("ant", "dog", "bird", "cat"))


def test_ignores_unknown_classes_without_images():
    assert matched(split(1, 2), ("ant", "cat", "dog"), ("dog", "cat")) == [1, 0]


def test_names_unknown_classes():
    with pytest.raises(SourceError, match="pets has images of wolf, which the model does not have: expected cat, dog"):
        matched(split(0, 1), ("cat", "wolf"), ("cat", "dog"))
    many = tuple(f"c{index}" for index in range(9))
    with pytest.raises(SourceError, match="c0, c1, c2, c3, c4 and 4 more, which"):
        matched(split(*range(9)), many, ("a", "b"))


def test_rejects_a_name_of_several_classes():
    with pytest.raises(SourceError, match="images of crane, a name that the model has for several classes"):
        matched(split(0, 1), ("crane", "dog"), ("crane", "dog", "crane"))
    with pytest.warns(SourceWarning, match="1 of the 3"):
        assert matched(split(0), ("dog",), ("crane", "dog", "crane")) == [1]
    same = ("crane", "dog", "crane")
    assert matched(split(0, 2), same, same) == [0, 2]


def test_drops_classes_that_are_not_needed():
    with pytest.warns(SourceWarning, match="images of wolf, which the model does not have: no accuracy"):
        found = match_or_drop_classes(split(0), ("wolf",), ("cat",), "the model", consequence="no accuracy")
    assert found.targets is None
    kept = match_or_drop_classes(split(0), ("cat",), ("cat",), "the model", consequence="")
    assert kept.targets is not None


def several(*targets: tuple[int, ...], strict: bool = False) -> Split:
    pixels = np.zeros((len(targets), 2, 2), np.uint8)
    return Split("tags.csv", "test", ArrayImages(pixels), np.array(targets, np.int64), strict=strict)


def test_orders_columns_by_name():
    found = several((1, 0, 0), (0, 1, 0))
    columns = match_classes(found, ("cat", "dog", "x"), ("dog", "cat"), "the model", multi_label=True)
    assert columns.targets is not None
    assert columns.targets.tolist() == [[0, 1], [1, 0]]  # no image has x


def test_needs_a_column_for_each_label():
    with pytest.raises(SourceError, match=r"tags.csv has no column owl, a label of the model: expected a column for"):
        match_classes(several((1, 0)), ("cat", "dog"), ("dog", "cat", "owl"), "the model", multi_label=True)
    with pytest.raises(SourceError, match=r"tags.csv has images of wolf, which the model does not have"):
        match_classes(several((1, 1)), ("cat", "wolf"), ("cat",), "the model", multi_label=True)
    with pytest.raises(SourceError, match="a name that the model has for several classes"):
        match_classes(several((1, 1)), ("cat", "dog"), ("cat", "dog", "cat"), "the model", multi_label=True)


def test_one_label_and_several_labels_do_not_match():
    cases = [
        (several((1, 0)), False, "tags.csv has several labels per image, and the model has one"),
        (split(0, 1), True, "pets has one class per image, and the model has several labels"),
    ]
    for found, multi_label, message in cases:
        labels = ("cat", "dog")
        with pytest.raises(SourceError, match=f"{message}: pass "):
            match_classes(found, labels, labels, "the model", multi_label=multi_label)
        with pytest.warns(SourceWarning, match=f"{message}: no accuracy"):
            dropped = match_or_drop_classes(
                found, labels, labels, "the model", consequence="no accuracy", multi_label=multi_label
            )
        assert dropped.targets is None


def test_keeps_images_without_classes():
    plain = Split("pets", "test", ArrayImages(np.zeros((1, 2, 2), np.uint8)), None)
    assert match_classes(plain, (), ("cat",), "the model") is plain
