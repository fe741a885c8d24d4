"""Tests that a cascade is chosen, bounded and proven, or refused with the reason."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cascades import COST
from device import OnADevice

from edgecnn.bundle.cascade_record import CascadeCost
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import OutputExists, ProofFailed
from edgecnn.pipeline.cascades.bound import upper_bound
from edgecnn.pipeline.cascades.bounding import check_worth
from edgecnn.pipeline.cascades.cascading import Cascaded, cascade
from edgecnn.pipeline.cascades.cost import Measured
from edgecnn.pipeline.cascades.options import CascadeOptions
from edgecnn.pipeline.data.sources import open_source
from edgecnn.runtime.cascade import CascadeSession
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.replay import replay

pytestmark = pytest.mark.usefixtures("fixed_cost")


@pytest.fixture(scope="module")
def made(
    weak_bundle: Bundle, fp32_bundle: Bundle, handwriting: OnADevice, tmp_path_factory: pytest.TempPathFactory
) -> Cascaded:
    """Return a cascade of two networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgecnn.pipeline.cascades.cascading.measure_cost", lambda *_, **__: COST)
        out = tmp_path_factory.mktemp("made") / "cascade"
        return cascaded(weak_bundle, fp32_bundle, handwriting, out)


def cascaded(
    fast: Bundle, accurate: Bundle, images: OnADevice, out: Path, *, count: int | None = None, **others: Any
) -> Cascaded:
    options = CascadeOptions(98, unseen=True, count=count)
    return cascade(fast, accurate, out, open_source(str(images.folder)), options=options, **others)


def test_record_has_threshold_share_and_bound(made: Cascaded, weak_bundle: Bundle, fp32_bundle: Bundle):
    found, manifest = made.bundle.proof().cascade, made.bundle.manifest
    assert found == made.record
    assert manifest.cascade is not None
    assert manifest.cascade.threshold == found.threshold > 0
    assert (manifest.cascade.fast, manifest.cascade.accurate) == (weak_bundle.digest, fp32_bundle.digest)
    assert manifest.reference == fp32_bundle.manifest.reference
    assert 0 < found.share < 1
    worst = max(each.differing for each in found.engines)
    assert found.max_disagreement == upper_bound(worst, found.bounding.images) <= 0.02 < 1 - found.fast_agreement
    assert found.cost == COST.cost
    assert found.choosing.digest != found.bounding.digest
    assert found.unseen == "stated"


def test_cascade_agrees_more_often_than_the_fast_graph(made: Cascaded, weak_bundle: Bundle, fp32_bundle: Bundle):
    test = open_source("digits").split("test")
    pixels = test.all_pixels(fp32_bundle.manifest.preprocessing)
    staged, fast, accurate = map(open_session, (made.bundle, weak_bundle, fp32_bundle))
    expected = accurate.run(pixels).argmax(1)
    alone, together = fast.run(pixels).argmax(1), staged.run(pixels).argmax(1)
    assert (alone == expected).mean() < (together == expected).mean()
    proven = made.bundle.proof().engines[0].comparison
    assert proven.agreement == pytest.approx((together == expected).mean(), abs=0.005)


def test_self_test_has_both_stages_and_exposes_damage(made: Cascaded):
    bundle = open_bundle(made.bundle.path)
    self_test, session = bundle.self_test(), open_session(bundle)
    assert self_test.stages is not None
    assert 0 < self_test.stages.runs_again.sum() < len(self_test.images)
    assert isinstance(session, CascadeSession)

    def holds() -> bool:
        return replay(self_test, session, bundle.manifest.preprocessing, bundle.manifest.scores).holds

    assert holds()
    rule, fast, accurate = session.rule, session.fast, session.accurate
    for threshold in (0.0, 100 * rule.threshold):
        session.rule = dataclasses.replace(rule, threshold=threshold)
        assert not holds()
    session.rule = rule
    session.accurate = fast
    assert not holds()
    session.fast, session.accurate = accurate, accurate
    assert not holds()


def test_unsure_margin_is_that_of_the_answers(made: Cascaded):
    margin, found = made.bundle.manifest.scores.unsure_margin, made.bundle.proof().unsure
    assert margin is not None
    assert found is not None
    assert found.chosen_on == made.record.choosing


def test_is_refused_if_the_fast_graph_is_enough(
    int8_bundle: Bundle, fp32_bundle: Bundle, handwriting: OnADevice, tmp_path: Path
):
    with pytest.raises(ProofFailed, match=r"no cascade is needed: .* of the fast graph alone agree"):
        cascaded(int8_bundle, fp32_bundle, handwriting, tmp_path / "out", count=300)
    assert not (tmp_path / "out").exists()


def test_is_refused_if_the_accurate_graph_alone_is_faster(fp32_bundle: Bundle):
    cost = CascadeCost("onnxruntime", "a processor", 1, fast_ms=1.0, accurate_ms=1.1, expected_ms=1.3)
    with pytest.raises(ProofFailed, match=r"alone is faster: 27\.3% of the images run again, .* 1\.3 ms, 1\.1 ms with"):
        check_worth(fp32_bundle, cost, 0.3 / 1.1)


def test_is_refused_if_every_image_runs_again(
    weak_bundle: Bundle, fp32_bundle: Bundle, handwriting: OnADevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def sure(logits: np.ndarray, scores: object) -> np.ndarray:
        return np.ones(len(logits), np.float32)

    monkeypatch.setattr("edgecnn.pipeline.cascades.bounding.margin_per_image", sure)
    with pytest.raises(ProofFailed, match="the accurate graph alone is faster: every image runs again"):
        cascaded(weak_bundle, fp32_bundle, handwriting, tmp_path / "out", count=300)


def test_is_refused_if_the_bound_does_not_hold(
    weak_bundle: Bundle, fp32_bundle: Bundle, handwriting: OnADevice, tmp_path: Path
):
    # The accurate graph differs too, so that running again does not help.
    accurate = dataclasses.replace(
        weak_bundle,
        manifest=dataclasses.replace(weak_bundle.manifest, reference=fp32_bundle.manifest.reference),
        digest="e" * 64,
    )
    with pytest.raises(ProofFailed, match=r"agree with the reference, at least .* is needed"):
        cascaded(weak_bundle, accurate, handwriting, tmp_path / "out", count=300, reference=fp32_bundle)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_busy_machine_is_a_warning(
    weak_bundle: Bundle, fp32_bundle: Bundle, handwriting: OnADevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    busy = Measured(None, "this machine is busy")
    monkeypatch.setattr("edgecnn.pipeline.cascades.cascading.measure_cost", lambda *_, **__: busy)
    with pytest.raises(ProofFailed, match=r"the cost is unknown: this machine is busy; no bundle was written"):
        cascaded(weak_bundle, fp32_bundle, handwriting, tmp_path / "out", strict=True)
    assert not (tmp_path / "out").exists()


def test_existing_output_is_kept(made: Cascaded, weak_bundle: Bundle, fp32_bundle: Bundle, handwriting: OnADevice):
    with pytest.raises(OutputExists):
        cascaded(weak_bundle, fp32_bundle, handwriting, made.bundle.path)
