"""The result of an inference request, before it is encoded."""

from dataclasses import dataclass

import numpy as np

from edgecnn.prediction import are_sure, probabilities_of
from edgecnn.protocol.http_headers import BUNDLE_DIGEST, SERVER_TIMING, STAGE, UNSURE
from edgecnn.protocol.request import InferRequest
from edgecnn.protocol.stages import stages_text
from edgecnn.server.models.version import Version


@dataclass(slots=True)
class Result:
    """The result of a request.

    It is not frozen, because creating a frozen dataclass takes a microsecond longer.

    Attributes:
        request: the parsed request.
        logits: float32 [N, K].
        version: the version that computed the logits.
        decode_s: time to parse the request, and to decode and resize its images.
        queue_s: time from its submission to the start of its run.
        inference_s: time of the engine's run of the whole batch; of a cascade, the sum of both runs.
        runs_again: which images the accurate graph of a cascade answered, bool [N]; None for one graph.
    """

    request: InferRequest
    logits: np.ndarray
    version: Version
    decode_s: float
    queue_s: float
    inference_s: float
    runs_again: np.ndarray | None = None

    def outputs(self) -> dict[str, np.ndarray]:
        """Return the requested outputs by name: logits, or their probabilities as in `Prediction`, float32 [N, K]."""
        return {
            each.name: self._probabilities() if each.is_probability else self.logits for each in self.request.outputs
        }

    def _probabilities(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # logits that are not finite
            return probabilities_of(self.logits, self.version.bundle.manifest.scores).astype(np.float32)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers: times in milliseconds (W3C Server Timing), the bundle's digest, stages, unsure answers.

        Unsure answers are marked with best classes or probabilities only: to find them takes microseconds.
        """
        decode, queue, inference = 1000 * self.decode_s, 1000 * self.queue_s, 1000 * self.inference_s
        timing = f"decode;dur={decode:.3f}, queue;dur={queue:.3f}, inference;dur={inference:.3f}"
        found: tuple[tuple[str, str], ...] = (SERVER_TIMING, timing), (BUNDLE_DIGEST, self.version.bundle.digest)
        if self.runs_again is not None:
            found = (*found, (STAGE, stages_text(self.runs_again.tolist())))
        unsure = self._unsure()
        return (*found, (UNSURE, unsure)) if unsure else found

    def _unsure(self) -> str:
        scores, outputs = self.version.bundle.manifest.scores, self.request.outputs
        if scores.unsure_margin is None or not any(each.classes or each.is_probability for each in outputs):
            return ""
        return ",".join(map(str, np.flatnonzero(~are_sure(self.logits, scores)).tolist()))
