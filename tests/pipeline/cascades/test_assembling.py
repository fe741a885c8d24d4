"""Tests that a cascade is a bundle like any other."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from cascades import FACTOR, make_cascade
from manifest_edits import edit_manifest

from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError
from edgecnn.runtime.cascade import CascadeSession
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.replay import check_proof, replay


def test_opens_with_both_graphs(cascade_bundle: Bundle, committed: Bundle):
    bundle = open_bundle(cascade_bundle.path)
    assert [path.name for path in bundle.models] == ["model.onnx", "accurate.onnx"]
    assert bundle.manifest.cascade is not None
    assert bundle.manifest.cascade.fast == committed.digest
    assert bundle.size_bytes == sum(path.stat().st_size for path in bundle.models)


def test_self_test_passes_with_both_stages(cascade_bundle: Bundle):
    session = open_session(cascade_bundle)
    self_test, result = check_proof(cascade_bundle, session)
    assert result.holds
    assert self_test.stages is not None
    assert 0 < self_test.stages.runs_again.sum() < result.images


def test_accurate_graph_answers_images_below_the_threshold(cascade_bundle: Bundle, committed: Bundle):
    images = committed.self_test().images
    staged, alone = open_session(cascade_bundle), open_session(committed)
    assert isinstance(staged, CascadeSession)
    logits, again = staged.run_stages(images)
    fast = alone.run(images)
    assert np.allclose(logits, np.where(again[:, None], fast * FACTOR, fast), atol=1e-4)
    assert np.array_equal(staged.run(images), logits)


@pytest.mark.parametrize(("threshold", "found"), [(0.0, "fast"), (1e6, "accurate")])
def test_self_test_exposes_another_threshold(cascade_bundle: Bundle, threshold: float, found: str):
    session = open_session(cascade_bundle)
    assert isinstance(session, CascadeSession)
    session.rule = dataclasses.replace(session.rule, threshold=threshold)
    result = replay(cascade_bundle.self_test(), session, cascade_bundle.manifest.preprocessing)
    assert any(f"the {found} graph answers" in failure for failure in result.failures)


def test_self_test_exposes_swapped_graphs(cascade_bundle: Bundle):
    session = open_session(cascade_bundle)
    assert isinstance(session, CascadeSession)
    session.fast, session.accurate = session.accurate, session.fast
    assert not replay(cascade_bundle.self_test(), session, cascade_bundle.manifest.preprocessing).holds


def test_a_graph_of_a_cascade_cannot_be_removed_from_the_manifest(committed: Bundle, tmp_path: Path):
    bundle = make_cascade(committed, tmp_path / "cascade")
    edit_manifest(bundle.path, lambda document: document["graphs"].pop())
    with pytest.raises(BundleError, match="a cascade requires two graphs and the key cascade"):
        open_bundle(bundle.path)
