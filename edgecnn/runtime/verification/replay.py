"""Runs a bundle's self-test on an engine, and compares logits with the reference's."""

from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.proof import Comparison
from edgecnn.bundle.self_test import PIXEL_TOLERANCE, EncodedImage, SelfTest, spread
from edgecnn.bundle.store import Bundle
from edgecnn.errors import ImageError, ProofFailed
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.engine import Session

_AGREEMENT_SLACK = 0.005


@dataclass(frozen=True)
class SelfTestResult:
    """The result of running a self-test.

    Attributes:
        images: number of images.
        decided: number of images for which the reference's margin is above the tolerance; only their labels count.
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


def replay(self_test: SelfTest, session: Session, preprocessing: Preprocessing) -> SelfTestResult:
    """Run a self-test through a session, and its image files through decoding and preprocessing too.

    Raises:
        EngineError: the engine failed, or the graph's shapes differ from the self-test's.
    """
    logits = run_batches(session, self_test.images, classes=self_test.logits.shape[1])
    failures = _failures("self-test image", logits, self_test.logits, self_test.tolerance)
    decided = int((margins(self_test.logits) > self_test.tolerance).sum())
    if not decided:
        failures.append(
            f"no self-test image has a margin above the tolerance of {self_test.tolerance:.3g}: "
            f"the self-test proves nothing"
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
    """Check that a bundle's self-test passes. Return the self-test and its result.

    Raises:
        ProofFailed: the answers differ from the reference's.
        EngineError: see `replay`.
    """
    self_test = bundle.self_test()
    result = replay(self_test, session, bundle.manifest.preprocessing)
    if not result.holds:
        raise proof_failed(bundle, f"{session.info.engine} here", result.failures)
    return self_test, result


def proof_failed(bundle: Bundle, where: str, failures: tuple[str, ...]) -> ProofFailed:
    """Return the error for a failed proof. `where` says what ran the bundle; `failures` has at least one entry."""
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return ProofFailed(f"the proof of {bundle.path} does not hold on {where}: {failures[0]}{more}")


def compare(reference: np.ndarray, logits: np.ndarray, targets: np.ndarray | None) -> Comparison:
    """Compare logits, float32 [N, K], with the reference's. `targets` is int64 [N], or None if unknown."""
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


def margins(logits: np.ndarray) -> np.ndarray:
    """Return the differences of the best and second-best logits, for [N, K] as [N]; infinite for a single class."""
    if logits.shape[1] == 1:
        return np.full(len(logits), np.inf)
    ordered = np.partition(logits, -2, axis=1)
    result: np.ndarray = ordered[:, -1] - ordered[:, -2]
    return result


def _largest(error: np.ndarray) -> float | None:
    return float(np.abs(error).max()) if np.isfinite(error).all() else None


def _failures(what: str, logits: np.ndarray, expected: np.ndarray, tolerance: float) -> list[str]:
    """Return one line for each image whose label differs, or whose logits differ by more than the tolerance."""
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
        return [f"{what}: decoding returns {list(pixels.shape)}, expected {list(encoded.pixels.shape)}"]
    levels = int(np.abs(pixels.astype(np.int16) - encoded.pixels).max())
    allowed = PIXEL_TOLERANCE[encoded.format]
    if levels > allowed:
        return [f"{what}: a pixel is off by {levels} levels, at most {allowed} are allowed"]
    # Run the reference's pixels: the decoder's deviation was checked above, with its own tolerance.
    logits = session.run(encoded.pixels[None])
    return _failures(what, logits, encoded.logits[None], self_test.tolerance)
