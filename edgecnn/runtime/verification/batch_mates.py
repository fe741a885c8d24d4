"""Does an image's answer depend on the images beside it, on the size of its batch, or on the number of threads?

It must not: a server batches whatever comes together. Some images of a comparison are run again, in another order, in
batches of other sizes, with other numbers of threads, and held against what the same engine has answered before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.host.resources import usable_cores
from edgecnn.progress import Progress, silent
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.backend import Session, SessionInfo, device_kind
from edgecnn.runtime.verification.replay import margins

IMAGES = 64
"""How many images run again: a batch of 32 is filled twice, with other mates."""

BATCHES = (1, 3, 8, 32)

LIMIT_SHARE = 0.25
"""The share of a bundle's tolerance by which a logit may change with batch, threads and order.

Only the order of sums changes here: five networks in FP32 and INT8 changed by less than a hundredth of the tolerance.
Scales that depend on the batch (dynamic quantization) changed LeNet and ResNet-18 by 0.53 to 1.15 of the tolerance in
INT8, and by 50 to 110 times the tolerance in FP32.
"""


@dataclass(frozen=True)
class BatchRun:
    """The images once more, in one size of batch and with one number of threads.

    Attributes:
        batch: how many images ran at once.
        threads: for one run.
        max_difference: largest difference of a logit to the same engine's before; None where one is not finite.
        different: how many answers are others although their margin was above the bundle's tolerance.
    """

    batch: int
    threads: int
    max_difference: float | None
    different: int


@dataclass(frozen=True)
class BatchMates:
    """What running some images again has shown.

    Attributes:
        images: how many.
        limit: largest difference of a logit that counts as rounding.
        runs: one for each size of batch and number of threads.
    """

    images: int
    limit: float
    runs: tuple[BatchRun, ...]

    @property
    def worst(self) -> BatchRun:
        """The run whose logits moved most."""
        return max(self.runs, key=lambda run: np.inf if run.max_difference is None else run.max_difference)

    def failures(self) -> tuple[str, ...]:
        """Say in one line what did not hold; empty where everything did."""
        failed = [run for run in self.runs if not _holds(run, self.limit)]
        if not failed:
            return ()
        worst = self.worst
        moved = "is not finite" if worst.max_difference is None else f"moves by {worst.max_difference:.3g}"
        return (
            f"answers depend on batch mates, batch size or threads: at batch {worst.batch} and threads {worst.threads} "
            f"a logit {moved} (allowed {self.limit:.3g}) and {worst.different} decided answers are others; "
            f"{len(failed)} of {len(self.runs)} settings fail",
        )


def choose_images(count: int) -> np.ndarray:
    """Choose which of `count` images run again: `IMAGES` of them, evenly spread, or all where there are fewer."""
    return np.unique(np.linspace(0, count - 1, min(count, IMAGES)).round().astype(np.int64))


def thread_counts(info: SessionInfo) -> tuple[int, ...]:
    """Return the numbers of threads to try: one, as many as the process may use, and what the session ran with.

    Only a CPU's can be chosen.
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
    progress: Progress = silent,
) -> BatchMates:
    """Run images again at every batch size and number of threads, in a shuffled order.

    Args:
        images: uint8 [N, H, W, C], N at least 1.
        logits: the engine's earlier logits of them, float32 [N, K].
        open_with: opens the graph with so many threads; one session at a time is open.
        threads: the numbers of threads.
        tolerance: the bundle's.
        progress: called after each run.

    Raises:
        EngineError: the engine failed, for example because the graph's batch is fixed.
    """
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
                runs.append(_run(batch, session.info.threads, expected, found, tolerance))
        finally:
            session.close()
    progress("batch mates", len(runs), len(runs))
    return BatchMates(len(images), LIMIT_SHARE * tolerance, tuple(runs))


def _run(batch: int, threads: int, expected: np.ndarray, found: np.ndarray, tolerance: float) -> BatchRun:
    finite = np.isfinite(found).all() and np.isfinite(expected).all()
    difference = float(np.abs(found.astype(np.float64) - expected).max()) if finite else None
    others = found.argmax(axis=1) != expected.argmax(axis=1)
    decided = margins(expected) > tolerance if finite else np.ones(len(expected), bool)
    return BatchRun(batch, threads, difference, int((others & decided).sum()))


def _holds(run: BatchRun, limit: float) -> bool:
    """Whether a run differs by rounding only; no answer that is decided can then be another one."""
    return run.max_difference is not None and run.max_difference <= limit and not run.different
