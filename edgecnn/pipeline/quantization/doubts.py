"""What there is to doubt about a new INT8 bundle, one line each: warnings, or with `--strict` errors."""

from collections.abc import Mapping

import onnx

from edgecnn.bundle.limits import PORTABLE_RANGE
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.proof import Proof
from edgecnn.bundle.self_test import SelfTest
from edgecnn.errors import ProofFailed, TestSplitRefused, UsageError
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.quantization.simulation import PAIRING, SimulatedSession
from edgecnn.runtime.engines.backend import Session
from edgecnn.runtime.verification.replay import replay

WORTHY_AGREEMENT = 0.95
"""Below this fraction of equal answers a bundle is written with a warning: something is wrong with its calibration."""

_OVERLAP = 0.01


def check_overlap(chosen: Split, test: Split) -> tuple[str, ...]:
    """Refuse to calibrate on test images; a few that stand in both splits, as in many public sets, are told."""
    tested = {test.images.digest(i) for i in range(len(test))}
    shared = sum(chosen.images.digest(i) in tested for i in range(len(chosen)))
    told = f"{shared} of the {len(chosen)} calibration images are test images too"
    if shared > _OVERLAP * len(chosen):
        raise TestSplitRefused(f"{told}: the result would be judged on what it was fitted to; name training images")
    return (told,) if shared else ()


def agreement_doubts(proof: Proof) -> tuple[str, ...]:
    """Say it where quantization itself has cost too many answers: on the best engine, whatever the processor."""
    best = max(proof.engines, key=lambda engine: engine.comparison.agreement)
    agreement = best.comparison.agreement
    if agreement >= WORTHY_AGREEMENT:
        return ()
    return (
        f"only {agreement:.2%} of the INT8 answers are those of the FP32 bundle on {best.engine}: are the calibration "
        f"images like those of its use, and enough?",
    )


def machine_doubts(
    self_test: SelfTest, sessions: Mapping[str, Session], *, preprocessing: Preprocessing, full_range: bool
) -> tuple[str, ...]:
    """Name the engines that do not hold the new proof here: what saturates on this processor may not on the device.

    Raises:
        ProofFailed: the self-test decides nothing, on any engine.
    """
    results = {name: replay(self_test, session, preprocessing) for name, session in sessions.items()}
    if not any(result.decided for result in results.values()):
        raise ProofFailed(
            f"the INT8 logits are off by {self_test.tolerance / 2:.3g}, more than half of any answer's margin: the "
            f"self-test would prove nothing, so no bundle was written; are the calibration images "
            f"like those of its use?"
        )
    reason = f"; weights beyond ±{PORTABLE_RANGE} saturate on some processors" if full_range else ""
    return tuple(
        f"on {name} this processor does not hold the proof: {result.failures[0]}{reason}"
        for name, result in results.items()
        if not result.holds
    )


def saturation_doubts(model: onnx.ModelProto, self_test: SelfTest, *, preprocessing: Preprocessing) -> tuple[str, ...]:
    """Say what a full-range graph would answer where sums saturate: predicted, whatever processor this is."""
    where = "x86 processors with AVX2 or AVX-512 and no VNNI"
    cure = "edgecnn tells ONNX Runtime to sum exactly there, other programs may not; without --full-range none need to"
    try:
        session = SimulatedSession(model)
    except UsageError as error:
        return (f"what {where} answer is not predicted: {error}; {cure}",)
    try:
        result = replay(self_test, session, preprocessing)
    finally:
        session.close()
    if result.holds:
        return ()
    return (f"{where} would not hold the proof: {result.failures[0]} (predicted for {PAIRING}); {cure}",)
