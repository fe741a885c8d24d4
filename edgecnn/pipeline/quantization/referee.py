"""Decides whether the drop of a graph is within a limit, on as few images as the decision needs.

The paired interval of the drop is computed on the first images, on twice as many, and so on. The drop passes if its
interval is below the limit, fails if it is above, and is undecided if all images are used and it contains the limit.

Repeated looks at growing data increase the probability of an error. Therefore the early looks use intervals of 99.9 %,
and only the look at all images uses the interval of 95 % (Haybittle, Repeated assessment of results in clinical trials
of cancer treatment, 1971; Peto et al., Design and analysis of randomized clinical trials, 1976). Each early look adds
at most 0.05 % to the nominal 2.5 % of wrong decisions in either direction: with 5000 images, five early looks add at
most 0.25 %.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import onnx

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.bundle.proof import PairedDrop, Verdict
from edgecnn.pipeline.quantization.trial import Answers, Pixels
from edgecnn.runtime.rates import Z_95
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
    """

    drop: PairedDrop
    verdict: Verdict
    answers: np.ndarray


class Referee:
    """Compares graphs with the FP32 graph on the same images."""

    def __init__(
        self,
        model: onnx.ModelProto,
        images: Pixels,
        targets: np.ndarray | None,
        *,
        limit: float,
        scores: Scores = SOFTMAX,
    ) -> None:
        """Open the FP32 graph.

        Args:
            model: the FP32 graph.
            images: at least one image.
            targets: int64 [N], or for several labels int64 [N, K] of 0 and 1; None to use the FP32 graph's answers.
            limit: largest allowed drop, as a fraction.
            scores: how logits become answers.

        Raises:
            EngineError: ONNX Runtime cannot load the graph.
        """
        self._images = images
        self._targets = targets
        self._limit = limit
        self._scores = scores
        self._reference = Answers(model, images, scores)

    def expected(self, count: int) -> np.ndarray:
        """Return the FP32 graph's answers to the first `count` images; see `Answers.first`."""
        return self._reference.first(count)

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
            if verdict != "undecided":
                return Judged(self._drop(self.expected(count), found), verdict, found)
            count *= 2
        found = answers.first(total)
        drop = self._drop(self.expected(total), found)
        return Judged(drop, drop.against(self._limit), found)

    def regained(self, graph: onnx.ModelProto, answers: np.ndarray) -> PairedDrop:
        """Return the drop from `graph` to another graph, given the other graph's answers to the first images."""
        return self._drop(Answers(graph, self._images, self._scores).first(len(answers)), answers)

    def _drop(self, before: np.ndarray, after: np.ndarray, z: float = Z_95) -> PairedDrop:
        targets = self.expected(len(after)) if self._targets is None else self._targets[: len(after)]
        return paired_drop(same(before, targets), same(after, targets), z)
