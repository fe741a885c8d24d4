"""The gate limits the drop of an INT8 bundle. Layers return to float, worst first, until it passes.

The drop is measured on training images that calibration does not use, so that the test split stays independent.
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

_ANALYSED = 64  # images for ranking the layers


@dataclass(frozen=True)
class Gate:
    """The limit of the drop, and the images to measure it on.

    Attributes:
        images: held-out images.
        targets: int64 [N]; None to use the reference's top-1 labels.
        max_drop: largest allowed drop, as a fraction.
        certify: limit the upper end of the drop's 95 % interval instead of the drop.
    """

    images: Pixels
    targets: np.ndarray | None
    max_drop: float
    certify: bool

    def check(self) -> None:
        """Check that there are enough images to certify the drop.

        Raises:
            UsageError: there are too few images.
        """
        if not self.certify or certifiable(len(self.images)) <= self.max_drop:
            return
        needed = len(self.images)
        while certifiable(needed) > self.max_drop:
            needed += max(1, needed // 100)
        raise UsageError(
            f"{len(self.images)} images can certify a drop of {certifiable(len(self.images)) * 100:.2f} points, "
            f"the limit is {self.max_drop * 100:g}: use about {needed} images (--gate-count, --gate-data)"
        )


@dataclass(frozen=True)
class Gated:
    """The placement and plan that passed the gate, and the drop before and after leaving layers in float."""

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
    """Leave the fewest layers in float with which the gate passes.

    Raises:
        GateFailed: the gate fails even with only one quantized layer.
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
                f"does not help (worst: {worst.layer}); no bundle was written",
                layers=layers,
                drop=before,
            )
        after = measure(count)
    left = leave_in_float(model, placement, plan, _reasons(layers[:count], gate))
    return Gated(*left, layers, before, after)


def _fewest(passes: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest count above 0 that passes, or None if `most` fails. Doubling, then bisection."""
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
        f"in float it reduces the logit error by {report.float_wins or 0.0:.3g}"
        for report in layers
    }
