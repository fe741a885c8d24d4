"""Runs a bundle's self-test on an engine, and compares logits with the reference's."""

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.proof import Comparison
from edgecnn.bundle.self_test import PIXEL_TOLERANCE, EncodedImage, SelfTest, spread
from edgecnn.bundle.store import Bundle
from edgecnn.errors import ImageError, ProofFailed
from edgecnn.runtime.cascade import run_stages
from edgecnn.runtime.classifier import MAX_BATCH, run_batches
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.verification.answers import answers_of, changed, decided, every, named, same

_AGREEMENT_SLACK = 0.005


@dataclass(frozen=True)
class SelfTestResult:
    """The result of running a self-test.

    Attributes:
        images: number of images.
        decided: number of images for which the reference's margins are above the tolerance. Only decisions with such a
            margin are compared.
        max_error: largest difference of a logit from the reference's; None if a logit is not finite.
        tolerance: largest allowed difference.
        encoded: number of image files that were decoded and run too.
        failures: one line for each failure; empty if the self-test passes.
    """

    images: int
    decided: int
    max_error: float | None
    tolerance: float
    encoded: int
    failures: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the self-test passes."""
        return not self.failures


def replay(
    self_test: SelfTest, session: Session, preprocessing: Preprocessing, scores: Scores = SOFTMAX
) -> SelfTestResult:
    """Run a self-test through a session, and its image files through decoding and preprocessing too.

    Raises:
        EngineError: the engine failed, or the graph's shapes differ from the self-test's.
    """
    logits = run_batches(session, self_test.images, classes=self_test.logits.shape[1])
    failures = _failures("self-test image", logits, self_test.logits, self_test.tolerances, scores)
    if self_test.stages is not None:
        failures += _stage_failures(self_test.images, self_test.stages.runs_again, session)
    certain = decided(self_test.logits, self_test.tolerances, scores)
    if not certain.any():
        failures.append(
            f"no self-test image has a margin above the tolerance of {self_test.tolerance:.3g}: "
            f"the self-test proves nothing"
        )
    for number, encoded in enumerate(self_test.encoded):
        what = f"encoded image {number} ({encoded.format})"
        failures += _replay_encoded(what, encoded, self_test, session, preprocessing, scores=scores)
    return SelfTestResult(
        images=len(self_test.images),
        decided=int(every(certain).sum()),
        max_error=_largest(logits - self_test.logits),
        tolerance=self_test.tolerance,
        encoded=len(self_test.encoded),
        failures=tuple(failures),
    )


def check_proof(bundle: Bundle, session: Session) -> tuple[SelfTest, SelfTestResult]:
    """Check that a bundle's self-test passes. Return the self-test and its result.

    Raises:
        ProofFailed: the answers differ from the reference's.
        EngineError: see `replay`.
    """
    self_test = bundle.self_test()
    result = replay(self_test, session, bundle.manifest.preprocessing, bundle.manifest.scores)
    if not result.holds:
        raise proof_failed(bundle, f"{session.info.engine} here", result.failures)
    return self_test, result


def proof_failed(bundle: Bundle, where: str, failures: tuple[str, ...]) -> ProofFailed:
    """Return the error for a failed proof. `where` says what ran the bundle; `failures` has at least one entry."""
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return ProofFailed(f"the proof of {bundle.path} does not hold on {where}: {failures[0]}{more}")


def compare(
    reference: np.ndarray, logits: np.ndarray, targets: np.ndarray | None, scores: Scores = SOFTMAX
) -> Comparison:
    """Compare logits, float32 [N, K], with the reference's.

    `targets` is int64 [N], or for several labels int64 [N, K] of 0 and 1; None if unknown.
    """
    expected, found = answers_of(reference, scores), answers_of(logits, scores)
    error = logits.astype(np.float64) - reference
    return Comparison(
        images=len(reference),
        reference_top1=None if targets is None else float(same(expected, targets).mean()),
        top1=None if targets is None else float(same(found, targets).mean()),
        agreement=float(same(expected, found).mean()),
        max_error=_largest(error),
        rms_error=float(np.sqrt(np.mean(error**2))) if np.isfinite(error).all() else None,
        spread=spread(reference),
    )


def data_failures(comparison: Comparison, bundle: Bundle) -> tuple[str, ...]:
    """Return one line for each way in which a comparison is worse than the bundle's proof promises.

    The promise is the agreement of the proof's best engine, less half a point because the images are of another split.
    """
    promised = max(engine.comparison.agreement for engine in bundle.proof().engines) - _AGREEMENT_SLACK
    failures = []
    if comparison.agreement < promised:
        failures.append(
            f"agreement with the reference is {comparison.agreement:.2%}, the proof promises {promised:.2%}"
        )
    tolerance = bundle.self_test().tolerance
    if comparison.max_error is None:
        failures.append("the logits are not finite")
    elif bundle.manifest.precision == "fp32" and comparison.max_error > tolerance:
        failures.append(f"a logit is off by {comparison.max_error:.3g}, at most {tolerance:.3g} is allowed")
    return tuple(failures)


def _largest(error: np.ndarray) -> float | None:
    return float(np.abs(error).max()) if np.isfinite(error).all() else None


def _stage_failures(images: np.ndarray, runs_again: np.ndarray, session: Session) -> list[str]:
    """Return one line for each image that another graph of the cascade answers than expected, bool [N]."""
    starts = range(0, len(images), MAX_BATCH)
    found = [stage for start in starts for stage in run_stages(session, images[start : start + MAX_BATCH])[1]]
    expected = ["accurate" if again else "fast" for again in runs_again]
    return [
        f"self-test image {i}: the {stage} graph answers, expected the {right} graph"
        for i, (stage, right) in enumerate(zip(found, expected, strict=True))
        if stage not in (right, None)
    ]


def _failures(what: str, logits: np.ndarray, expected: np.ndarray, tolerances: np.ndarray, scores: Scores) -> list[str]:
    """Return one line for each image with another decided answer, or with logits beyond its tolerance."""
    failures = []
    if not np.isfinite(logits).all():
        return [f"{what}: the logits are not finite"]
    errors = np.abs(logits - expected).max(axis=1)
    worst = int((errors / tolerances).argmax())
    if errors[worst] > tolerances[worst]:
        allowed = f"at most {tolerances[worst]:.3g} is allowed"
        failures.append(f"{what} {worst}: a logit is off by {errors[worst]:.3g}, {allowed}")
    answers, right = answers_of(logits, scores), answers_of(expected, scores)
    numbers = [str(index) for index in range(expected.shape[1])]
    failures += [
        f"{what} {i}: the answer is class {named(answers[i], numbers)}, the reference's is {named(right[i], numbers)}"
        for i in np.flatnonzero(changed(expected, logits, tolerances, scores))
    ]
    return failures


def _replay_encoded(
    what: str,
    encoded: EncodedImage,
    self_test: SelfTest,
    session: Session,
    preprocessing: Preprocessing,
    *,
    scores: Scores,
) -> list[str]:
    try:
        pixels = preprocessing.image(encoded.content)
    except ImageError as error:
        return [f"{what}: {error}"]
    if pixels.shape != encoded.pixels.shape:
        return [f"{what}: decoding returns {list(pixels.shape)}, expected {list(encoded.pixels.shape)}"]
    levels = int(np.abs(pixels.astype(np.int16) - encoded.pixels).max())
    allowed = PIXEL_TOLERANCE[encoded.format]
    if levels > allowed:
        return [f"{what}: a pixel is off by {levels} levels, at most {allowed} are allowed"]
    # Run the reference's pixels: the decoder's deviation was checked above, with its own tolerance.
    logits = session.run(encoded.pixels[None])
    return _failures(what, logits, encoded.logits[None], np.array([self_test.tolerance]), scores)
