"""Parity with a reference that cannot prove anything: the message names what is wrong with the network."""

import numpy as np
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import ProofFailed
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.proving import check_parity, engine_sessions, make_proof
from edgecnn.runtime.verification.evaluation import Evaluation

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
NOISE = np.random.default_rng(1).standard_normal((4, 10)).astype(np.float32)


@pytest.mark.parametrize(
    ("logits", "named"),
    [
        (0.03 + 2.5e-9 * NOISE, "hardly depend on the image"),
        (np.zeros((4, 10), np.float32), r"hardly depend on the image \(spread 0, largest 0\): it is not trained"),
        (1000 + 0.1 * NOISE, "hardly depend on the image"),
        (np.full((4, 10), np.nan, np.float32), "the reference's own logits are not finite"),
        (np.full((4, 10), np.inf, np.float32), "the reference's own logits are not finite"),
    ],
)
def test_names_logits_that_prove_nothing(logits: np.ndarray, named: str):
    with pytest.raises(ProofFailed, match=named):
        check_parity({}, IMAGES, logits.astype(np.float32))


@pytest.mark.parametrize("logits", [NOISE, 1e-9 * NOISE, 10 + 0.1 * NOISE])
def test_accepts_logits_that_depend_on_the_image(logits: np.ndarray):
    check_parity({}, IMAGES, logits.astype(np.float32))


@pytest.mark.parametrize("count", [1, 3])
def test_names_equal_images(count: int):
    with pytest.raises(ProofFailed, match=f"all {count} images of the proof are equal: pass other images"):
        check_parity({}, np.repeat(IMAGES[:1], count, axis=0), NOISE[:count])


def test_proof_names_the_class_with_a_fault(committed: Bundle):
    split = open_source("digits").split("test")
    expected = np.eye(10, dtype=np.float32)[split.known_targets()]
    broken = expected.copy()
    broken[:, 3] = -1
    with engine_sessions(committed.model) as sessions:
        evaluation = Evaluation(split, dict.fromkeys(sessions, broken))
        proof = make_proof("digits", evaluation, expected, sessions, labels=committed.manifest.labels)
    for engine in proof.engines:
        assert engine.per_class is not None
        assert engine.per_class.worst is not None
        assert engine.per_class.worst.label == "3"
        assert engine.per_class.worst.drop.drop == 1
        assert [each.label for each in engine.per_class.classes] == ["3"]  # in the others, every answer agrees
