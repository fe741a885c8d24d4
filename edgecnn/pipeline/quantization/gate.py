"""The gate: no INT8 bundle whose top-1 fell by more than was allowed. Layers go back to float, worst first.

Measured on training images that calibration has not seen, so that the test split judges the result alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from edgecnn.bundle.proof import LayerReport, PairedDrop
from edgecnn.errors import GateFailed, UsageError
from edgecnn.pipeline.quantization.analysis import leave_in_float, with_wins
from edgecnn.pipeline.quantization.placement import Placement
from edgecnn.pipeline.quantization.plan import QuantizationPlan
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.pipeline.quantization.trial import Pixels, trial_logits
from edgecnn.progress import Progress, silent
from edgecnn.runtime.verification.paired import certifiable, paired_drop

_ANALYSED = 64  # images on which the layers are ranked


@dataclass(frozen=True)
class Gate:
    """What an INT8 graph may cost.

    Attributes:
        images: held-out images.
        targets: int64 [N]; None where nobody knows them: then the reference's answers are the right ones.
        max_drop: largest drop of top-1, as a fraction.
        certify: whether the drop's 95 % limit is bounded rather than the drop itself.
    """

    images: Pixels
    targets: np.ndarray | None
    max_drop: float
    certify: bool

    def check(self) -> None:
        """Check that there are enough images to certify the drop.

        Raises:
            UsageError: there are too few.
        """
        if not self.certify or certifiable(len(self.images)) <= self.max_drop:
            return
        needed = len(self.images)
        while certifiable(needed) > self.max_drop:
            needed += max(1, needed // 100)
        raise UsageError(
            f"{len(self.images)} images certify a drop of {certifiable(len(self.images)) * 100:.2f} points at best, "
            f"{self.max_drop * 100:g} are asked for: about {needed} are needed (--gate-count, --gate-data)"
        )


@dataclass(frozen=True)
class Gated:
    """What passed the gate, and the drop of top-1 before layers were left in float and after."""

    placement: Placement
    plan: QuantizationPlan
    layers: tuple[LayerReport, ...]
    before: PairedDrop
    after: PairedDrop


def pass_gate(
    gate: Gate,
    model: onnx.ModelProto,
    placement: Placement,
    plan: QuantizationPlan,
    *,
    layers: tuple[LayerReport, ...],
    progress: Progress = silent,
) -> Gated:
    """Leave as few layers in float as the gate demands.

    Raises:
        GateFailed: not even the last quantized layer may stay.
    """
    expected = trial_logits(model, gate.images).argmax(axis=1)
    targets = expected if gate.targets is None else gate.targets

    def measure(count: int) -> PairedDrop:
        tried = rewrite(model, *leave_in_float(model, placement, plan, _reasons(layers[:count], gate)))
        return paired_drop(expected == targets, trial_logits(tried, gate.images).argmax(axis=1) == targets)

    def passes(drop: PairedDrop) -> bool:
        return (drop.high if gate.certify else drop.drop) <= gate.max_drop

    before = after = measure(0)
    count: int | None = 0
    if not passes(before):
        layers = with_wins(layers, model, placement, plan, images=gate.images[:_ANALYSED], progress=progress)
        count = _fewest(lambda tried: passes(measure(tried)), len(layers) - 1)
        if count is None:
            worst = layers[0]
            raise GateFailed(
                f"INT8 costs {before.drop * 100:.2f} points of top-1 [{before.low * 100:.2f}, {before.high * 100:.2f}] "
                f"on {before.images} held-out images, {gate.max_drop * 100:g} are allowed, and leaving layers in float "
                f"does not cure it (worst: {worst.layer}); no bundle was written",
                layers=layers,
                drop=before,
            )
        after = measure(count)
    left = leave_in_float(model, placement, plan, _reasons(layers[:count], gate))
    return Gated(*left, layers, before, after)


def _fewest(passes: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest count above 0 that passes, None where `most` does not: twice as many, then between."""
    if most < 1:
        return None
    failed, count = 0, 1
    while not passes(count):
        if count >= most:
            return None
        failed, count = count, min(2 * count, most)
    while count - failed > 1:
        middle = (failed + count) // 2
        failed, count = (failed, middle) if passes(middle) else (middle, count)
    return count


def _reasons(layers: tuple[LayerReport, ...], gate: Gate) -> dict[str, str]:
    limit = "its 95 % limit" if gate.certify else "top-1"
    return {
        report.layer: f"gate: INT8 would cost more than {gate.max_drop * 100:g} points of {limit}; "
        f"in float it takes {report.float_wins or 0.0:.3g} off the logits' error"
        for report in layers
    }
