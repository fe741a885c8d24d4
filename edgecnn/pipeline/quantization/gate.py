"""The gate limits the drop of an INT8 bundle. Layers return to float, worst first, until it is met.

The drop is measured on training images that calibration does not use, so that the test split stays independent. A
decision needs evidence: `Referee` takes more images while the interval of the drop contains the limit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.bundle.proof import Decision, LayerReport, PairedDrop
from edgecnn.errors import GateFailed, UsageError
from edgecnn.pipeline.quantization.analysis import leave_in_float, with_wins
from edgecnn.pipeline.quantization.placement import Placement
from edgecnn.pipeline.quantization.plan import QuantizationPlan
from edgecnn.pipeline.quantization.referee import FIRST_LOOK, Judged, Referee
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.pipeline.quantization.trade import with_trades
from edgecnn.pipeline.quantization.trial import Pixels
from edgecnn.progress import Progress, silent
from edgecnn.runtime.verification.paired import certifiable, drop_of, images_needed, say_needed

_ANALYSED = 64  # images for ranking the layers


@dataclass(frozen=True)
class Gate:
    """The limit of the drop, and the images to measure it on.

    Attributes:
        images: held-out images.
        targets: int64 [N], or for several labels int64 [N, K] of 0 and 1; None to use the reference's answers.
        max_drop: largest allowed drop, as a fraction.
        certify: leave layers in float until the 95 % interval of the drop is below the limit.
        on_undecided: what to do if the interval contains the limit with all images: `keep` every layer in INT8, or
            leave layers in `float` until the drop itself is within the limit.
        scores: how logits become answers.
    """

    images: Pixels
    targets: np.ndarray | None
    max_drop: float
    certify: bool
    on_undecided: Literal["keep", "float"] = "keep"
    scores: Scores = SOFTMAX

    def check(self) -> None:
        """Check that there are enough images to certify the drop.

        Raises:
            UsageError: there are too few images.
        """
        count = len(self.images)
        if not self.certify or certifiable(count) <= self.max_drop:
            return
        needed = images_needed(drop_of(0, 0, count), self.max_drop)
        raise UsageError(
            f"{count} images can certify a drop of {certifiable(count) * 100:.2f} points, "
            f"the limit is {self.max_drop * 100:g}: use {say_needed(needed)} (--gate-count, --gate-data)"
        )


@dataclass(frozen=True)
class GateResult:
    """The result of the gate.

    Attributes:
        decision: see `GateRecord.decision`.
        before: the drop with every layer in INT8, or of an FP16 graph.
        after: the drop with the layers in float that the gate chose.
        answers: answers with these layers in float to the images of `after`; see `answers_of`.
        expected: answers of the FP32 graph to these images.
    """

    decision: Decision
    before: PairedDrop
    after: PairedDrop
    answers: np.ndarray
    expected: np.ndarray


@dataclass(frozen=True)
class Gated(GateResult):
    """The result of the gate for an INT8 graph.

    Attributes:
        placement: the placement with the layers in float that the gate chose.
        plan: the plan with these layers in float.
        layers: the layer reports; sorted by gain if layers were left in float.
    """

    placement: Placement
    plan: QuantizationPlan
    layers: tuple[LayerReport, ...]


def judge_fp16(gate: Gate, model: onnx.ModelProto, made: onnx.ModelProto) -> GateResult:
    """Compare an FP16 graph with the FP32 graph. No layer returns to float32: float16 rarely costs an answer.

    Raises:
        GateFailed: the drop is larger than allowed, or with `certify` not certainly below the limit.
        EngineError: ONNX Runtime failed.
    """
    referee = Referee(model, gate.images, gate.targets, limit=gate.max_drop, scores=gate.scores)
    found = referee.judge(made)
    if _needs_repair(found, gate):
        raise GateFailed(
            f"FP16 costs {found.drop} of {gate.scores.accuracy_name} on {found.drop.images} held-out images, "
            f"{gate.max_drop * 100:g} are allowed; no bundle was written; keep FP32",
            layers=(),
            drop=found.drop,
        )
    decision: Decision = "passed" if found.verdict == "passes" else "undecided"
    return GateResult(decision, found.drop, found.drop, found.answers, referee.expected(found.drop.images))


def pass_gate(
    gate: Gate,
    model: onnx.ModelProto,
    placement: Placement,
    plan: QuantizationPlan,
    *,
    layers: tuple[LayerReport, ...],
    analyze: bool = False,
    progress: Progress = silent,
) -> Gated:
    """Leave the fewest layers in float with which the gate passes, if there is evidence that it fails.

    The evidence is an interval of the drop above the limit. With `certify` or `on_undecided="float"`, an interval that
    contains the limit is enough. The layers are chosen on the images of the gate, so the drop afterwards is slightly
    optimistic; the proof measures it on the test split. The trade is measured for each layer that is left in float, or
    with `analyze` for every layer.

    Raises:
        GateFailed: the gate fails even with only one quantized layer.
    """
    referee = Referee(model, gate.images, gate.targets, limit=gate.max_drop, scores=gate.scores)
    before = after = referee.judge(rewrite(model, placement, plan))

    def with_float(count: int) -> tuple[Placement, QuantizationPlan]:
        return leave_in_float(model, placement, plan, _reasons(layers[:count], gate, before))

    def judge(count: int) -> Judged:
        return referee.judge(rewrite(model, *with_float(count)))

    count = 0
    if _needs_repair(before, gate):
        layers = with_wins(layers, model, placement, plan, images=gate.images[:_ANALYSED], progress=progress)
        fewest = _fewest(lambda tried: _is_acceptable(judge(tried), gate), len(layers) - 1)
        if fewest is None:
            raise GateFailed(
                f"INT8 costs {before.drop} of {gate.scores.accuracy_name} on {before.drop.images} held-out images, "
                f"{gate.max_drop * 100:g} are allowed, and leaving layers in float does not help "
                f"(worst: {layers[0].layer}); no bundle was written",
                layers=layers,
                drop=before.drop,
            )
        count, after = fewest, judge(fewest)
    decision: Decision = "repaired" if count else "passed" if before.verdict == "passes" else "undecided"
    images = FIRST_LOOK if analyze else before.drop.images
    traded = with_trades(
        layers if analyze else layers[:count],
        model,
        placement,
        plan,
        image=gate.images[:1],
        regained=lambda tried: referee.regained(tried, before.answers[:images]),
        progress=progress,
    )
    layers = (*traded, *layers[len(traded) :])
    expected = referee.expected(after.drop.images)
    return Gated(decision, before.drop, after.drop, after.answers, expected, *with_float(count), layers)


def _is_acceptable(found: Judged, gate: Gate) -> bool:
    """Whether a graph may be written. Without `certify`, the drop itself decides if its interval does not."""
    if gate.certify or found.verdict != "undecided":
        return found.verdict == "passes"
    return found.drop.drop <= gate.max_drop


def _needs_repair(found: Judged, gate: Gate) -> bool:
    """Whether to search for layers to leave in float."""
    if found.verdict == "undecided" and not gate.certify and gate.on_undecided == "keep":
        return False
    return not _is_acceptable(found, gate)


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


def _reasons(layers: tuple[LayerReport, ...], gate: Gate, before: Judged) -> dict[str, str]:
    return {
        report.layer: f"gate: with every layer in INT8 the drop is {before.drop}, {gate.max_drop * 100:g} allowed; "
        f"in float this layer reduces the logit error by {report.float_wins or 0.0:.3g}"
        for report in layers
    }
