"""Checks that answers do not depend on batch mates, batch size or number of threads.

A server batches requests that arrive together, so answers must not depend on it. Some images run again in another
order, in batches of other sizes, with other numbers of threads. The logits are compared with the first run's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.host.resources import usable_cores
from edgecnn.progress import Progress, silent
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.engine import Session, SessionInfo, device_kind
from edgecnn.runtime.verification.answers import changed

IMAGES = 64
"""Images that run again. They fill a batch of 32 twice, with different batch mates."""

BATCHES = (1, 3, 8, 32)

LIMIT_SHARE = 0.25
"""The largest allowed change of a logit, as a share of the bundle's tolerance.

Only the order of summation may differ: five networks in FP32 and INT8 changed by less than 1 % of the tolerance.
Dynamic quantization, whose scales depend on the batch, changed LeNet and ResNet-18 by 0.53 to 1.15 of the tolerance in
INT8, and by 50 to 110 times the tolerance in FP32.
"""


@dataclass(frozen=True)
class BatchRun:
    """The result of running the images again with one batch size and one number of threads.

    Attributes:
        batch: batch size.
        threads: threads of one run.
        max_difference: largest change of a logit; None if a logit is not finite.
        different: number of images with a changed decision whose margin was above the bundle's tolerance.
    """

    batch: int
    threads: int
    max_difference: float | None
    different: int


@dataclass(frozen=True)
class BatchMates:
    """The result of running some images again.

    Attributes:
        images: number of images.
        limit: largest allowed change of a logit.
        runs: one for each batch size and number of threads.
    """

    images: int
    limit: float
    runs: tuple[BatchRun, ...]

    @property
    def worst(self) -> BatchRun:
        """The run with the largest change of a logit."""
        return max(self.runs, key=lambda run: np.inf if run.max_difference is None else run.max_difference)

    def failures(self) -> tuple[str, ...]:
        """Return one line that describes the failed runs; empty if none failed."""
        failed = [run for run in self.runs if not _holds(run, self.limit)]
        if not failed:
            return ()
        worst = self.worst
        moved = "is not finite" if worst.max_difference is None else f"changes by {worst.max_difference:.3g}"
        return (
            f"answers depend on batch mates, batch size or threads: at batch {worst.batch} and threads {worst.threads} "
            f"a logit {moved} (allowed {self.limit:.3g}) and {worst.different} decided answers change; "
            f"{len(failed)} of {len(self.runs)} settings fail",
        )


def choose_images(count: int) -> np.ndarray:
    """Return the indices of the images that run again: `IMAGES` evenly spaced ones, or all if there are fewer."""
    return np.unique(np.linspace(0, count - 1, min(count, IMAGES)).round().astype(np.int64))


def thread_counts(info: SessionInfo) -> tuple[int, ...]:
    """Return the numbers of threads to test: one, the usable cores, and the session's number.

    On devices other than the CPU, only the session's number is possible.
    """
    if device_kind(info.device) != "cpu":
        return (info.threads,)
    return tuple(sorted({1, info.threads, usable_cores()}))


def check_batch_mates(
    images: np.ndarray,
    logits: np.ndarray,
    *,
    open_with: Callable[[int], Session],
    threads: Sequence[int],
    tolerance: float,
    scores: Scores = SOFTMAX,
    progress: Progress = silent,
) -> BatchMates:
    """Run images again at every batch size and number of threads, in shuffled order.

    Args:
        images: uint8 [N, H, W, C], N at least 1.
        logits: the engine's earlier logits for them, float32 [N, K].
        open_with: opens the graph with a number of threads; only one session is open at a time.
        threads: the numbers of threads.
        tolerance: the bundle's tolerance.
        scores: how logits become answers.
        progress: called after each run.

    Raises:
        EngineError: the engine failed, for example because the graph's batch size is fixed.
    """
    # If there are few images, repeat them to fill the largest batch.
    # Few images are taken again to fill the largest batch.
    order = np.resize(np.random.default_rng(0).permutation(len(images)), max(len(images), *BATCHES))
    shuffled, expected = images[order], logits[order]
    runs: list[BatchRun] = []
    for count in threads:
        session = open_with(count)
        try:
            for batch in BATCHES:
                progress("batch mates", len(runs), len(threads) * len(BATCHES))
                found = run_batches(session, shuffled, classes=logits.shape[1], batch=batch)
                runs.append(_run(batch, session.info.threads, expected, found, tolerance=tolerance, scores=scores))
        finally:
            session.close()
    progress("batch mates", len(runs), len(runs))
    return BatchMates(len(images), LIMIT_SHARE * tolerance, tuple(runs))


def _run(
    batch: int, threads: int, expected: np.ndarray, found: np.ndarray, *, tolerance: float, scores: Scores
) -> BatchRun:
    finite = np.isfinite(found).all() and np.isfinite(expected).all()
    difference = float(np.abs(found.astype(np.float64) - expected).max()) if finite else None
    # A logit that is not finite has no margin: every other answer counts then.
    least = tolerance if finite else -np.inf
    return BatchRun(batch, threads, difference, int(changed(expected, found, least, scores).sum()))


def _holds(run: BatchRun, limit: float) -> bool:
    """Whether a run differs only by rounding, and no decided label changed."""
    return run.max_difference is not None and run.max_difference <= limit and not run.different
