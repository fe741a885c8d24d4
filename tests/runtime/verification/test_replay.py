"""Self-tests on sessions with injected faults."""

import dataclasses

import numpy as np
import pytest

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.bundle.self_test import SelfTest
from edgecnn.bundle.store import Bundle
from edgecnn.prediction import margins
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.replay import SelfTestResult, compare, data_failures, replay


class Tampering:
    """A session that changes the logits of a real session."""

    instances = 1

    def __init__(self, bundle: Bundle, change) -> None:
        self._session = open_session(bundle)
        self._change = change
        self.info: SessionInfo = self._session.info

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        logits = self._change(self._session.run(images))
        if out is None:
            return logits
        np.copyto(out, logits)
        return out

    def close(self) -> None:
        self._session.close()


SEVERAL = Scores("sigmoid", multi_label=True)


def replayed(bundle: Bundle, change, self_test: SelfTest | None = None, scores: Scores = SOFTMAX) -> SelfTestResult:
    session = Tampering(bundle, change)
    return replay(self_test or bundle.self_test(), session, bundle.manifest.preprocessing, scores)


@pytest.mark.parametrize("engine", installed())
def test_the_committed_bundle_passes(engine: str, committed: Bundle):
    result = replay(committed.self_test(), open_session(committed, engine=engine), committed.manifest.preprocessing)
    assert result.holds, result.failures
    assert (result.images, result.encoded) == (32, 4)
    assert result.decided >= 25


def test_rejects_a_logit_above_the_tolerance(committed: Bundle):
    result = replayed(committed, lambda logits: logits + 2 * committed.self_test().tolerance)
    assert "self-test image" in result.failures[0]
    assert "a logit is off" in result.failures[0]


def test_rejects_another_decided_answer(committed: Bundle):
    result = replayed(committed, lambda logits: -logits)
    assert any("the reference's is" in failure for failure in result.failures)


def test_ignores_an_undecided_answer(committed: Bundle):
    self_test = committed.self_test()
    widest = float(margins(self_test.logits).max())
    nearly_all = dataclasses.replace(self_test, tolerance=0.999 * widest, encoded=())
    decided = margins(self_test.logits) > nearly_all.tolerance
    assert decided.sum() == 1
    # Swap the order of the two best logits of all other images; no logit changes by more than the tolerance.
    logits = self_test.logits.copy()
    for row in np.flatnonzero(~decided):
        second, first = np.argsort(logits[row])[-2:]
        logits[row, second] = logits[row, first] + 1e-3
    assert replayed(committed, lambda _: logits, nearly_all).holds


def test_rejects_a_tolerance_above_all_margins(committed: Bundle):
    result = replayed(committed, lambda logits: -logits, dataclasses.replace(committed.self_test(), tolerance=1e6))
    assert result.decided == 0
    assert "the self-test proves nothing" in result.failures[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rejects_logits_that_are_not_finite(value: float, committed: Bundle):
    result = replayed(committed, lambda logits: np.full_like(logits, value))
    assert "not finite" in result.failures[0]
    assert result.max_error is None


def test_rejects_a_comparison_that_is_not_finite(committed: Bundle):
    reference = np.zeros((3, 2), np.float32)
    found = compare(reference, np.full((3, 2), np.nan, np.float32), None)
    assert (found.max_error, found.rms_error) == (None, None)
    assert "not finite" in data_failures(found, committed)[-1]


def test_rejects_a_different_decoding(committed: Bundle):
    self_test = committed.self_test()
    for position, levels, holds in ((0, 1, False), (1, 2, True), (1, 3, False)):
        encoded = list(self_test.encoded)
        pixels = np.clip(encoded[position].pixels.astype(int) + levels, 0, 255).astype(np.uint8)
        encoded[position] = dataclasses.replace(encoded[position], pixels=pixels)
        loose = dataclasses.replace(self_test, encoded=tuple(encoded), tolerance=1.0)
        result = replayed(committed, lambda logits: logits, loose)
        assert result.holds == holds, (position, levels, result.failures)
        if not holds:
            assert f"off by {levels} levels" in result.failures[0]


def test_rejects_a_damaged_image_file(committed: Bundle):
    self_test = committed.self_test()
    broken = dataclasses.replace(self_test.encoded[1], content=self_test.encoded[1].content[:100])
    result = replayed(committed, lambda logits: logits, dataclasses.replace(self_test, encoded=(broken,)))
    assert "damaged" in result.failures[0]


def test_compares_agreement_and_accuracy():
    reference = np.array([[3, 1], [1, 3], [2, 1]], np.float32)
    logits = np.array([[3, 1], [1, 3], [1, 2]], np.float32)
    found = compare(reference, logits, np.array([0, 1, 1]))
    assert (found.images, found.agreement) == (3, pytest.approx(2 / 3))
    assert (found.reference_top1, found.top1) == (pytest.approx(2 / 3), 1.0)
    assert found.max_error == 1.0
    assert found.rms_error == pytest.approx(np.sqrt(2 / 6))
    assert compare(reference, logits, None).top1 is None


def test_computes_margins():
    assert margins(np.array([[1, 5, 3], [2, 2, 0]], np.float32)).tolist() == [2, 0]
    assert margins(np.array([[1]], np.float32)).tolist() == [np.inf]


def test_rejects_agreement_below_the_promise(committed: Bundle):
    logits = committed.self_test().logits
    good = compare(logits, logits, None)
    assert data_failures(good, committed) == ()
    assert "98.00%" in data_failures(dataclasses.replace(good, agreement=0.98), committed)[0]


def test_compares_each_decision_beyond_the_tolerance(committed: Bundle):
    whole = dataclasses.replace(committed.self_test(), encoded=())
    near = np.abs(whole.logits) <= whole.tolerance
    assert near.any()
    across = np.where(near, -whole.logits, whole.logits)  # only decisions next to the threshold change
    result = replayed(committed, lambda _: across, dataclasses.replace(whole, tolerance=2 * whole.tolerance), SEVERAL)
    assert result.holds, result.failures
    far = whole.logits.copy()
    row, column = np.unravel_index(np.abs(far).argmax(), far.shape)
    far[row, column] *= -1
    result = replayed(committed, lambda _: far, whole, SEVERAL)
    assert any(f"image {row}: the answer is class" in failure for failure in result.failures)


def test_a_self_test_of_several_labels_needs_one_decided_label(committed: Bundle):
    self_test = dataclasses.replace(committed.self_test(), encoded=())
    logits = self_test.logits.copy()
    logits[:, 0] = 0  # a label that is always at the threshold
    result = replayed(committed, lambda _: logits, dataclasses.replace(self_test, logits=logits), SEVERAL)
    assert result.holds, result.failures
    assert result.decided == 0
    nothing = dataclasses.replace(self_test, logits=logits, tolerance=1e6)
    assert "proves nothing" in replayed(committed, lambda _: logits, nothing, SEVERAL).failures[0]


def test_compares_exact_matches():
    reference = np.array([[1, -1], [1, 1], [-1, -1]], np.float32)
    logits = np.array([[1, -1], [1, -1], [-2, -3]], np.float32)
    found = compare(reference, logits, np.array([[1, 0], [1, 1], [1, 1]]), SEVERAL)
    assert (found.reference_top1, found.top1, found.agreement) == (2 / 3, 1 / 3, 2 / 3)
