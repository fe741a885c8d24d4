"""Checks of a graph, and warnings about a new bundle, one line each. With `--strict` warnings are errors."""

import copy
from collections.abc import Mapping

import numpy as np
import onnx

from edgecnn.bundle.limits import PORTABLE_RANGE
from edgecnn.bundle.manifest import Manifest
from edgecnn.bundle.proof import GateRecord, Proof
from edgecnn.bundle.self_test import SelfTest
from edgecnn.errors import ProofFailed, TestSplitRefused, UnsupportedOperator, UsageError
from edgecnn.pipeline.canonical.naming import make_names_unique
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.proving import self_test_warnings
from edgecnn.pipeline.quantization.simulation import PAIRING, SimulatedSession
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.prediction import margins
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.verification.paired import say_needed
from edgecnn.runtime.verification.replay import replay

WORTHY_AGREEMENT = 0.95
"""Below this agreement, a bundle is written with a warning: its calibration is probably wrong."""

_OVERLAP = 0.01
_CANONICAL_TOLERANCE = 1e-4  # of the largest logit: folding changes the order of float32 operations
_REMEDIES = {
    "int8": "use more calibration images, and images that represent real use",
    "fp16": "keep FP32, float16 is too coarse for this network",
}


def check_overlap(chosen: Split, test: Split) -> tuple[str, ...]:
    """Check that calibration does not use test images. A few shared images, as in many public sets, cause a warning."""
    tested = {test.images.digest(i) for i in range(len(test))}
    shared = sum(chosen.images.digest(i) in tested for i in range(len(chosen)))
    message = f"{shared} of the {len(chosen)} calibration images are also test images"
    if shared > _OVERLAP * len(chosen):
        raise TestSplitRefused(f"{message}: the accuracy would be measured on them; pass training images")
    return (message,) if shared else ()


def gate_warnings(gate: GateRecord | None) -> tuple[str, ...]:
    """Return a warning if the gate's images are too few to decide whether the drop is within the limit."""
    if gate is None or not gate.is_undecided:
        return ()
    return (
        f"the gate is undecided: the drop is {gate.after} on {gate.after.images} images, {gate.max_drop * 100:g} "
        f"allowed; {say_needed(gate.images_needed)} needed (--gate-count, --gate-data), or a larger --max-drop",
    )


def agreement_warnings(proof: Proof, precision: str) -> tuple[str, ...]:
    """Return a warning if the agreement is too low even on the best engine, independent of the processor."""
    best = max(proof.engines, key=lambda engine: engine.comparison.agreement)
    agreement = best.comparison.agreement
    if agreement >= WORTHY_AGREEMENT:
        return ()
    return (
        f"the agreement of {precision.upper()} with the FP32 bundle is only {agreement:.2%} on {best.engine}: "
        f"{_REMEDIES[precision]}",
    )


def machine_warnings(
    self_test: SelfTest,
    sessions: Mapping[str, Session],
    precision: str,
    *,
    manifest: Manifest,
    full_range: bool,
) -> tuple[str, ...]:
    """Return warnings about engines that fail the self-test on this processor. Other processors may not saturate.

    `manifest` is the parent's.

    Raises:
        ProofFailed: the self-test is not decisive.
    """
    if not (margins(self_test.logits, manifest.scores) > self_test.tolerance).any():
        raise ProofFailed(
            f"the error of the {precision.upper()} logits is {self_test.tolerance / 2:.3g}, more than half of every "
            f"image's margin: the self-test would prove nothing, so no bundle was written; {_REMEDIES[precision]}"
        )
    reason = f"; weights beyond ±{PORTABLE_RANGE} saturate on some processors" if full_range else ""
    return tuple(f"{each}{reason}" for each in self_test_warnings(self_test, sessions, manifest))


def saturation_warnings(model: onnx.ModelProto, self_test: SelfTest, *, manifest: Manifest) -> tuple[str, ...]:
    """Return warnings about a full-range graph on processors where sums saturate. This processor does not matter."""
    where = "x86 processors with AVX2 or AVX-512 and no VNNI"
    cure = "edgecnn enables exact sums in ONNX Runtime there, other programs may not; without --full-range none need to"
    try:
        session = SimulatedSession(model)
    except UsageError as error:
        return (f"the result on {where} cannot be predicted: {error}; {cure}",)
    try:
        result = replay(self_test, session, manifest.preprocessing, manifest.scores)
    finally:
        session.close()
    if result.holds:
        return ()
    return (f"the self-test would fail on {where}: {result.failures[0]} (predicted for {PAIRING}); {cure}",)


def check_equal(original: onnx.ModelProto, canonical: onnx.ModelProto, images: np.ndarray) -> None:
    """Check that the canonical form returns the same logits for images, uint8 [N, H, W, C].

    Raises:
        UnsupportedOperator: a logit differs.
        EngineError: ONNX Runtime cannot run one of the graphs.
    """
    named = copy.deepcopy(original)
    make_names_unique(named.graph)  # ONNX Runtime rejects equal names
    expected, found = (trial_logits(model, images) for model in (named, canonical))
    if not np.isfinite(expected).all():
        return  # reported with the tensor's name by the calibration
    error = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
    allowed = _CANONICAL_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not error <= allowed:
        raise UnsupportedOperator(
            f"the canonical form of this graph differs by {error:.3g} in a logit (allowed {allowed:.3g}): "
            f"export the network again with another exporter"
        )
