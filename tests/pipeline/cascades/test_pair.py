"""Tests that bundles which do not fit together are refused, with both values."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.pipeline.cascades.pair import check_pair, reference_of


def other(bundle: Bundle, **changes: Any) -> Bundle:
    """Return a bundle in memory with another manifest."""
    return Bundle(Path("other"), dataclasses.replace(bundle.manifest, **changes), "f" * 64)


def refused(fast: Bundle, accurate: Bundle) -> str:
    with pytest.raises(UsageError) as caught:
        check_pair(fast, accurate)
    return str(caught.value)


def test_accepts_another_network_with_the_same_labels(committed: Bundle):
    reference = dataclasses.replace(committed.manifest.reference, digest="0" * 64)
    unsure = dataclasses.replace(committed.manifest.scores, unsure_margin=1.5)
    check_pair(committed, other(committed, reference=reference, scores=unsure))


def test_refuses_the_same_bundle_twice(committed: Bundle):
    assert "are the same bundle" in refused(committed, committed)


def test_refuses_a_cascade(cascade_bundle: Bundle, committed: Bundle):
    assert "is a cascade already" in refused(cascade_bundle, committed)
    assert "is a cascade already" in refused(committed, cascade_bundle)


def test_refuses_other_labels(committed: Bundle):
    labels = committed.manifest.labels
    turned = other(committed, labels=labels[::-1])
    assert "in another order, label 0 is '0' and '9'" in refused(committed, turned)
    assert "labels: '9' and 'nine'" in refused(committed, other(committed, labels=(*labels[:-1], "nine")))
    output = dataclasses.replace(committed.manifest.output, shape=(None, 2))
    assert "labels: 10 and 2" in refused(committed, other(committed, labels=("a", "b"), output=output))


def test_refuses_other_scores(committed: Bundle):
    found = refused(committed, other(committed, scores=Scores("sigmoid", multi_label=True)))
    assert 'scores: "activation": "softmax" and "activation": "sigmoid"' in found


def test_refuses_another_size(committed: Bundle):
    wide = dataclasses.replace(committed.manifest.input, shape=(None, 28, 32, 1))
    assert "images: 32 × 32 × 1 and 28 × 32 × 1" in refused(committed, other(committed, input=wide))


def test_refuses_another_preprocessing(committed: Bundle):
    changed = dataclasses.replace(committed.manifest.preprocessing, mean=(0.25,))
    assert "have other preprocessing: " in (found := refused(committed, other(committed, preprocessing=changed)))
    assert " and 0.25" in found


def test_reference_of_an_int8_bundle_is_its_fp32_bundle(fp32_bundle: Bundle, int8_bundle: Bundle):
    assert reference_of(fp32_bundle, None) is fp32_bundle
    assert reference_of(int8_bundle, fp32_bundle) is fp32_bundle
    with pytest.raises(UsageError, match="is INT8, and the agreement is with its reference: pass its FP32 bundle"):
        reference_of(int8_bundle, None)


def test_refuses_another_reference(fp32_bundle: Bundle, int8_bundle: Bundle, weak_bundle: Bundle):
    with pytest.raises(UsageError, match="is INT8: expected an FP32 bundle"):
        reference_of(int8_bundle, int8_bundle)
    with pytest.raises(UsageError, match="has the reference 000000000000"):
        reference_of(int8_bundle, weak_bundle)
