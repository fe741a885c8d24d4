"""Does this bundle, on this engine, answer as the PyTorch reference did? Replays the self-test; compares logits."""

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.proof import Comparison
from edgecnn.bundle.self_test import PIXEL_TOLERANCE, EncodedImage, SelfTest, spread
from edgecnn.bundle.store import Bundle
from edgecnn.errors import ImageError, ProofFailed
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.backend import Session

_AGREEMENT_SLACK = 0.005


@dataclass(frozen=True)
class SelfTestResult:
    """What replaying a self-test has shown.

    Attributes:
        images: how many ran.
        decided: how many the reference answers with a margin above the tolerance: only their answers count.
        max_error: largest difference of a logit to the reference's; None where a logit is not finite.
        tolerance: the largest that the bundle allows.
        encoded: how many image files were decoded and run as well.
        failures: one line each for what did not hold; empty when the proof holds.
    """

    images: int
    decided: int
    max_error: float | None
    tolerance: float
    encoded: int
    failures: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every answer is the reference's."""
        return not self.failures


def replay(self_test: SelfTest, session: Session, preprocessing: Preprocessing) -> SelfTestResult:
    """Run a self-test through a session, its encoded files through decoding and resizing too.

    Raises:
        EngineError: the engine failed, or the graph takes or gives other shapes than the self-test has.
    """
    logits = run_batches(session, self_test.images, classes=self_test.logits.shape[1])
    failures = _failures("self-test image", logits, self_test.logits, self_test.tolerance)
    decided = int((margins(self_test.logits) > self_test.tolerance).sum())
    if not decided:
        failures.append(
            f"no answer of the self-test has a margin above the tolerance of {self_test.tolerance:.3g}: "
            f"it proves nothing"
        )
    for number, encoded in enumerate(self_test.encoded):
        failures += _replay_encoded(
            f"encoded image {number} ({encoded.format})", encoded, self_test, session, preprocessing
        )
    return SelfTestResult(
        images=len(self_test.images),
        decided=decided,
        max_error=_largest(logits - self_test.logits),
        tolerance=self_test.tolerance,
        encoded=len(self_test.encoded),
        failures=tuple(failures),
    )


def check_proof(bundle: Bundle, session: Session) -> tuple[SelfTest, SelfTestResult]:
    """Replay a bundle's self-test, which must hold; returns the self-test, and what replaying it has shown.

    Raises:
        ProofFailed: it answers otherwise than the reference.
        EngineError: see `replay`.
    """
    self_test = bundle.self_test()
    result = replay(self_test, session, bundle.manifest.preprocessing)
    if not result.holds:
        raise proof_failed(bundle, f"{session.info.engine} here", result.failures)
    return self_test, result


def proof_failed(bundle: Bundle, where: str, failures: tuple[str, ...]) -> ProofFailed:
    """Return the error for a proof that does not hold: where the bundle ran, and at least one failure."""
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return ProofFailed(f"the proof of {bundle.path} does not hold on {where}: {failures[0]}{more}")


def compare(reference: np.ndarray, logits: np.ndarray, targets: np.ndarray | None) -> Comparison:
    """Compare logits, float32 [N, K], with the reference's; `targets` is int64 [N], or None if unknown."""
    expected, found = reference.argmax(axis=1), logits.argmax(axis=1)
    error = logits.astype(np.float64) - reference
    return Comparison(
        images=len(reference),
        reference_top1=None if targets is None else float((expected == targets).mean()),
        top1=None if targets is None else float((found == targets).mean()),
        agreement=float((expected == found).mean()),
        max_error=_largest(error),
        rms_error=float(np.sqrt(np.mean(error**2))) if np.isfinite(error).all() else None,
        spread=spread(reference),
    )


def data_failures(comparison: Comparison, bundle: Bundle) -> tuple[str, ...]:
    """Return one line for each way in which a comparison is worse than the bundle's proof promises.

    The proof's best engine is the promise, less half a point, since the images are another split's.
    """
    promised = max(engine.comparison.agreement for engine in bundle.proof().engines) - _AGREEMENT_SLACK
    failures = []
    if comparison.agreement < promised:
        failures.append(
            f"{comparison.agreement:.2%} of the answers agree with the reference's, the proof promises {promised:.2%}"
        )
    tolerance = bundle.self_test().tolerance
    if comparison.max_error is None:
        failures.append("the logits are not finite")
    elif bundle.manifest.precision == "fp32" and comparison.max_error > tolerance:
        failures.append(f"a logit is off by {comparison.max_error:.3g}, at most {tolerance:.3g} is allowed")
    return tuple(failures)


def margins(logits: np.ndarray) -> np.ndarray:
    """Return how far the best logit is above the second, for [N, K] as [N]; infinite where there is one class."""
    if logits.shape[1] == 1:
        return np.full(len(logits), np.inf)
    ordered = np.partition(logits, -2, axis=1)
    result: np.ndarray = ordered[:, -1] - ordered[:, -2]
    return result


def _largest(error: np.ndarray) -> float | None:
    return float(np.abs(error).max()) if np.isfinite(error).all() else None


def _failures(what: str, logits: np.ndarray, expected: np.ndarray, tolerance: float) -> list[str]:
    """Say which images are answered otherwise, or with logits that are too far off."""
    failures = []
    if not np.isfinite(logits).all():
        return [f"{what}: the logits are not finite"]
    errors = np.abs(logits - expected).max(axis=1)
    worst = int(errors.argmax())
    if errors[worst] > tolerance:
        failures.append(f"{what} {worst}: a logit is off by {errors[worst]:.3g}, at most {tolerance:.3g} is allowed")
    different = (logits.argmax(axis=1) != expected.argmax(axis=1)) & (margins(expected) > tolerance)
    failures += [
        f"{what} {i}: the answer is class {logits[i].argmax()}, the reference's is {expected[i].argmax()}"
        for i in np.flatnonzero(different)
    ]
    return failures


def _replay_encoded(
    what: str, encoded: EncodedImage, self_test: SelfTest, session: Session, preprocessing: Preprocessing
) -> list[str]:
    try:
        pixels = preprocessing.image(encoded.content)
    except ImageError as error:
        return [f"{what}: {error}"]
    if pixels.shape != encoded.pixels.shape:
        return [f"{what}: decoding gives {list(pixels.shape)}, the reference had {list(encoded.pixels.shape)}"]
    levels = int(np.abs(pixels.astype(np.int16) - encoded.pixels).max())
    allowed = PIXEL_TOLERANCE[encoded.format]
    if levels > allowed:
        return [f"{what}: a pixel is off by {levels} levels, at most {allowed} are allowed"]
    # The engine is held to the pixels that the reference saw: the decoder has just been held to its own tolerance.
    logits = session.run(encoded.pixels[None])
    return _failures(what, logits, encoded.logits[None], self_test.tolerance)
