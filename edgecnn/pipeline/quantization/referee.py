"""Decides whether the drop of a graph is within a limit, on as few images as the decision needs.

The paired interval of the drop is computed on the first images, on twice as many, and so on. The drop passes if its
interval is below the limit, fails if it is above, and is undecided if all images are used and it contains the limit.

Repeated looks at growing data increase the probability of an error. Therefore the early looks use intervals of 99.9 %,
and only the look at all images uses the interval of 95 % (Haybittle, Repeated assessment of results in clinical trials
of cancer treatment, 1971; Peto et al., Design and analysis of randomized clinical trials, 1976). Each early look adds
at most 0.05 % to the nominal 2.5 % of wrong decisions in either direction: with 5000 images, five early looks add at
most 0.25 %.

With a smallest agreement, an early look also needs an interval of the agreement (Wilson) that does not contain it.
After all images, the agreement itself is compared.
"""

import copy
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import onnx

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.bundle.paired_drop import PairedDrop, Verdict
from edgecnn.pipeline.quantization.trial import Answers, Pixels
from edgecnn.runtime.rates import Z_95, wilson
from edgecnn.runtime.verification.answers import same
from edgecnn.runtime.verification.paired import paired_drop

FIRST_LOOK = 250
"""Number of images of the first look."""

_EARLY_Z = NormalDist().inv_cdf(1 - 0.001 / 2)


@dataclass(frozen=True)
class Judged:
    """The decision about a graph.

    Attributes:
        drop: the drop with its 95 % interval, on the images that were used.
        verdict: whether the drop is within the limit.
        answers: answers of the graph to these images, int64 [N], or for several labels bool [N, K].
        agreement: fraction of these images for which the answer equals the FP32 graph's.
    """

    drop: PairedDrop
    verdict: Verdict
    answers: np.ndarray
    agreement: float


class Referee:
    """Compares graphs with the FP32 graph on the same images."""

    def __init__(
        self,
        model: onnx.ModelProto,
        images: Pixels,
        targets: np.ndarray | None,
        *,
        limit: float,
        min_agreement: float | None = None,
        scores: Scores = SOFTMAX,
    ) -> None:
        """Open the FP32 graph.

        Args:
            model: the FP32 graph.
            images: at least one image.
            targets: int64 [N], or for several labels int64 [N, K] of 0 and 1; None to use the FP32 graph's answers.
            limit: largest allowed drop, as a fraction.
            min_agreement: smallest allowed agreement, as a fraction; None for no limit.
            scores: how logits become answers.

        Raises:
            EngineError: ONNX Runtime cannot load the graph.
        """
        self._images = images
        self._targets = targets
        self._limit = limit
        self._min_agreement = min_agreement
        self._scores = scores
        self._reference = Answers(model, images, scores)

    def expected(self, count: int) -> np.ndarray:
        """Return the FP32 graph's answers to the first `count` images; see `Answers.first`."""
        return self._reference.first(count)

    def asking(self, min_agreement: float | None) -> "Referee":
        """Return a referee with another smallest agreement, which shares the FP32 graph's answers with this one."""
        made = copy.copy(self)
        made._min_agreement = min_agreement
        return made

    def least_agreement(self, graph: onnx.ModelProto, known: np.ndarray) -> float:
        """Return the lower end of the 95 % interval of the agreement of `graph` on all images, as a fraction.

        An agreement below it is evidence that another graph agrees less often. `known` are the graph's answers to the
        first images: it runs only if there are more.

        Raises:
            EngineError: ONNX Runtime failed.
        """
        total = len(self._images)
        found = known if len(known) == total else Answers(graph, self._images, self._scores).first(total)
        agreed = same(self.expected(total), found)
        return wilson(int(agreed.sum()), total)[0]

    def judge(self, graph: onnx.ModelProto) -> Judged:
        """Decide whether the drop from the FP32 graph to `graph` is within the limit.

        Raises:
            EngineError: ONNX Runtime failed.
        """
        answers, total = Answers(graph, self._images, self._scores), len(self._images)
        count = FIRST_LOOK
        while count < total:
            found = answers.first(count)
            verdict = self._drop(self.expected(count), found, _EARLY_Z).against(self._limit)
            if verdict != "undecided" and self._decides_agreement(found):
                return self._judged(found, verdict)
            count *= 2
        found = answers.first(total)
        return self._judged(found, self._drop(self.expected(total), found).against(self._limit))

    def _judged(self, found: np.ndarray, verdict: Verdict) -> Judged:
        expected = self.expected(len(found))
        return Judged(self._drop(expected, found), verdict, found, float(same(expected, found).mean()))

    def _decides_agreement(self, found: np.ndarray) -> bool:
        """Return whether the agreement of these answers is clearly above or below the smallest allowed one."""
        if self._min_agreement is None:
            return True
        agreed = same(self.expected(len(found)), found)
        low, high = wilson(int(agreed.sum()), len(agreed), _EARLY_Z)
        return low >= self._min_agreement or high < self._min_agreement

    def regained(self, graph: onnx.ModelProto, answers: np.ndarray) -> PairedDrop:
        """Return the drop from `graph` to another graph, given the other graph's answers to the first images."""
        return self._drop(Answers(graph, self._images, self._scores).first(len(answers)), answers)

    def _drop(self, before: np.ndarray, after: np.ndarray, z: float = Z_95) -> PairedDrop:
        targets = self.expected(len(after)) if self._targets is None else self._targets[: len(after)]
        return paired_drop(same(before, targets), same(after, targets), z)
