"""Warnings about a new INT8 bundle, one line each. With `--strict` they are errors."""

from collections.abc import Mapping

import onnx

from edgecnn.bundle.limits import PORTABLE_RANGE
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.proof import Proof
from edgecnn.bundle.self_test import SelfTest
from edgecnn.errors import ProofFailed, TestSplitRefused, UsageError
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.quantization.simulation import PAIRING, SimulatedSession
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.verification.replay import replay

WORTHY_AGREEMENT = 0.95
"""Below this agreement, a bundle is written with a warning: its calibration is probably wrong."""

_OVERLAP = 0.01


def check_overlap(chosen: Split, test: Split) -> tuple[str, ...]:
    """Check that calibration does not use test images. A few shared images, as in many public sets, cause a warning."""
    tested = {test.images.digest(i) for i in range(len(test))}
    shared = sum(chosen.images.digest(i) in tested for i in range(len(chosen)))
    message = f"{shared} of the {len(chosen)} calibration images are also test images"
    if shared > _OVERLAP * len(chosen):
        raise TestSplitRefused(f"{message}: the accuracy would be measured on them; pass training images")
    return (message,) if shared else ()


def agreement_warnings(proof: Proof) -> tuple[str, ...]:
    """Return a warning if the agreement is too low even on the best engine, independent of the processor."""
    best = max(proof.engines, key=lambda engine: engine.comparison.agreement)
    agreement = best.comparison.agreement
    if agreement >= WORTHY_AGREEMENT:
        return ()
    return (
        f"the agreement of INT8 with the FP32 bundle is only {agreement:.2%} on {best.engine}: use more calibration "
        f"images, and images that represent real use",
    )


def machine_warnings(
    self_test: SelfTest, sessions: Mapping[str, Session], *, preprocessing: Preprocessing, full_range: bool
) -> tuple[str, ...]:
    """Return warnings about engines that fail the self-test on this processor. Other processors may not saturate.

    Raises:
        ProofFailed: the self-test is not decisive on any engine.
    """
    results = {name: replay(self_test, session, preprocessing) for name, session in sessions.items()}
    if not any(result.decided for result in results.values()):
        raise ProofFailed(
            f"the error of the INT8 logits is {self_test.tolerance / 2:.3g}, more than half of every image's margin: "
            f"the self-test would prove nothing, so no bundle was written; use calibration images that "
            f"represent real use"
        )
    reason = f"; weights beyond ±{PORTABLE_RANGE} saturate on some processors" if full_range else ""
    return tuple(
        f"the self-test fails on {name} with this processor: {result.failures[0]}{reason}"
        for name, result in results.items()
        if not result.holds
    )


def saturation_warnings(
    model: onnx.ModelProto, self_test: SelfTest, *, preprocessing: Preprocessing
) -> tuple[str, ...]:
    """Return warnings about a full-range graph on processors where sums saturate. This processor does not matter."""
    where = "x86 processors with AVX2 or AVX-512 and no VNNI"
    cure = "edgecnn enables exact sums in ONNX Runtime there, other programs may not; without --full-range none need to"
    try:
        session = SimulatedSession(model)
    except UsageError as error:
        return (f"the result on {where} cannot be predicted: {error}; {cure}",)
    try:
        result = replay(self_test, session, preprocessing)
    finally:
        session.close()
    if result.holds:
        return ()
    return (f"the self-test would fail on {where}: {result.failures[0]} (predicted for {PAIRING}); {cure}",)
