"""The gate limits the drop of an INT8 bundle. Layers return to float, worst first, until it is met.

The drop is measured on training images that calibration does not use, so that the test split stays independent. A
decision needs evidence: `Referee` takes more images while the interval of the drop contains the limit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from edgecnn.bundle.layer_report import LayerReport
from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.bundle.proof import Decision
from edgecnn.errors import GateFailed, UsageError
from edgecnn.pipeline.quantization.analysis import leave_in_float, with_wins
from edgecnn.pipeline.quantization.placement import Placement
from edgecnn.pipeline.quantization.plan import QuantizationPlan
from edgecnn.pipeline.quantization.referee import FIRST_LOOK, Judged, Referee
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.pipeline.quantization.trade import with_trades
from edgecnn.pipeline.quantization.trial import Pixels
from edgecnn.progress import Progress, silent
from edgecnn.runtime.verification.answers import same
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
        min_agreement: smallest allowed agreement with the FP32 graph, as a fraction; None for no limit.
    """

    images: Pixels
    targets: np.ndarray | None
    max_drop: float
    certify: bool
    on_undecided: Literal["keep", "float"] = "keep"
    scores: Scores = SOFTMAX
    min_agreement: float | None = None

    def referee(self, reference: onnx.ModelProto) -> Referee:
        """Return the referee that compares graphs with an FP32 graph on these images.

        Raises:
            EngineError: ONNX Runtime cannot load the graph.
        """
        return Referee(
            reference,
            self.images,
            self.targets,
            limit=self.max_drop,
            min_agreement=self.min_agreement,
            scores=self.scores,
        )

    def allows(self, found: Judged) -> bool:
        """Return whether the agreement of a graph is large enough."""
        return self.min_agreement is None or found.agreement >= self.min_agreement

    def describe(self, found: Judged) -> str:
        """Return the drop and the agreement of a graph, each with its limit."""
        text = (
            f"{found.drop} of {self.scores.accuracy_name} on {found.drop.images} held-out images, "
            f"{self.max_drop * 100:g} are allowed"
        )
        if self.min_agreement is None:
            return text
        return f"{text}, and agrees with FP32 on {found.agreement:.2%}, {self.min_agreement * 100:g}% are needed"

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
        min_agreement: smallest allowed agreement, as a fraction; None for no limit.
    """

    decision: Decision
    before: PairedDrop
    after: PairedDrop
    answers: np.ndarray
    expected: np.ndarray
    min_agreement: float | None

    @property
    def agreement(self) -> float:
        """Fraction of the images of `after` for which the answer equals the FP32 graph's."""
        return float(same(self.answers, self.expected).mean())


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
    referee = gate.referee(model)
    found = referee.judge(made)
    if needs_repair(found, gate):
        raise GateFailed(
            f"FP16 costs {gate.describe(found)}; no bundle was written; keep FP32",
            layers=(),
            drop=found.drop,
        )
    decision: Decision = "passed" if found.verdict == "passes" else "undecided"
    return GateResult(
        decision, found.drop, found.drop, found.answers, referee.expected(found.drop.images), gate.min_agreement
    )


def pass_gate(
    gate: Gate,
    model: onnx.ModelProto,
    placement: Placement,
    plan: QuantizationPlan,
    *,
    referee: Referee,
    layers: tuple[LayerReport, ...],
    may_repair: bool = True,
    analyze: bool = False,
    progress: Progress = silent,
) -> Gated:
    """Leave the fewest layers in float with which the gate passes, if there is evidence that it fails.

    The evidence is an interval of the drop above the limit. With `certify` or `on_undecided="float"`, an interval that
    contains the limit is enough. The layers are chosen on the images of the gate, so the drop afterwards is slightly
    optimistic; the proof measures it on the test split. The trade is measured for each layer that is left in float, or
    with `analyze` for every layer. `referee` has the FP32 graph of the bundle; `model` may be a rewritten form of it.

    Raises:
        GateFailed: the gate fails even with only one quantized layer, or without `may_repair` with all of them.
    """
    before = after = referee.judge(rewrite(model, placement, plan))

    def with_float(count: int) -> tuple[Placement, QuantizationPlan]:
        return leave_in_float(model, placement, plan, _reasons(layers[:count], gate, before))

    def judge(count: int) -> Judged:
        return referee.judge(rewrite(model, *with_float(count)))

    count = 0
    if needs_repair(before, gate):
        if not may_repair:
            raise GateFailed(f"INT8 costs {gate.describe(before)}", layers=layers, drop=before.drop)
        layers = with_wins(layers, model, placement, plan, images=gate.images[:_ANALYSED], progress=progress)
        fewest = _fewest(lambda tried: is_acceptable(judge(tried), gate), len(layers) - 1)
        if fewest is None:
            raise GateFailed(
                f"INT8 costs {gate.describe(before)}, and leaving layers in float does not help "
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
    found = (before.drop, after.drop, after.answers, referee.expected(after.drop.images), gate.min_agreement)
    return Gated(decision, *found, *with_float(count), layers)


def is_acceptable(found: Judged, gate: Gate) -> bool:
    """Whether a graph may be written. Without `certify`, the drop itself decides if its interval does not."""
    if not gate.allows(found):
        return False
    if gate.certify or found.verdict != "undecided":
        return found.verdict == "passes"
    return found.drop.drop <= gate.max_drop


def needs_repair(found: Judged, gate: Gate) -> bool:
    """Whether a graph fails the gate, so that layers must return to float."""
    if found.verdict == "undecided" and not gate.certify and gate.on_undecided == "keep":
        return not gate.allows(found)
    return not is_acceptable(found, gate)


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
        report.layer: f"gate: INT8 in every layer costs {gate.describe(before)}; "
        f"in float this layer reduces the logit error by {report.float_wins or 0.0:.3g}"
        for report in layers
    }
