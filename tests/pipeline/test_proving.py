"""Parity with a reference that cannot prove anything: the message names what is wrong with the network."""

import numpy as np
import pytest

from edgecnn.errors import ProofFailed
from edgecnn.pipeline.proving import check_parity

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
NOISE = np.random.default_rng(1).standard_normal((4, 10)).astype(np.float32)


@pytest.mark.parametrize(
    ("logits", "named"),
    [
        (0.03 + 2.5e-9 * NOISE, "hardly depend on the image"),
        (np.zeros((4, 10), np.float32), r"hardly depend on the image \(spread 0, largest 0\): it is not trained"),
        (1000 + 0.1 * NOISE, "hardly depend on the image"),
        (np.full((4, 10), np.nan, np.float32), "PyTorch's own logits are not finite"),
        (np.full((4, 10), np.inf, np.float32), "PyTorch's own logits are not finite"),
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
