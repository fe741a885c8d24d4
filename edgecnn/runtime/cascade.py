"""Runs a cascade: the fast graph on every image, and the accurate graph on those whose margin is too small.

See Viola and Jones, Rapid Object Detection using a Boosted Cascade of Simple Features, 2001, and Wang et al., IDK
Cascades: Fast Deep Learning by Learning not to Overthink, 2018.
"""

import threading
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.manifest import Scores
from edgecnn.prediction import Stage, margin_per_image
from edgecnn.runtime.engines.engine import Session, deliver


@dataclass(frozen=True)
class StageCounts:
    """How many images a cascade has answered, and how many of them ran again on the accurate graph."""

    images: int = 0
    again: int = 0

    def since(self, earlier: "StageCounts") -> "StageCounts":
        """Return the counts of the images that were answered after `earlier`."""
        return StageCounts(self.images - earlier.images, self.again - earlier.again)

    @property
    def share(self) -> float | None:
        """The share of the images that ran again; None without images."""
        return self.again / self.images if self.images else None


@dataclass(frozen=True)
class CascadeRule:
    """Chooses the images that the accurate graph runs too.

    Attributes:
        threshold: smallest margin of an answer of the fast graph that is kept.
        scores: how logits become answers.
    """

    threshold: float
    scores: Scores

    def runs_again(self, logits: np.ndarray) -> np.ndarray:
        """Return for the fast graph's logits, float32 [N, K], which images run again, bool [N].

        An image whose logits are not finite runs again.
        """
        with np.errstate(invalid="ignore"):  # logits that are not finite
            again: np.ndarray = ~(margin_per_image(logits, self.scores) >= self.threshold)
        return again


class CascadeSession:
    """Two opened graphs with a rule. Any number of threads up to `instances` can run it at once."""

    def __init__(self, fast: Session, accurate: Session, rule: CascadeRule) -> None:
        self.info = fast.info
        self.instances = fast.instances
        self.fast = fast
        self.accurate = accurate
        self.rule = rule
        self._images = self._again = 0
        self._lock = threading.Lock()

    @property
    def counts(self) -> StageCounts:
        """The images that this session has answered so far."""
        with self._lock:
            return StageCounts(self._images, self._again)

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        return deliver(self.run_stages(images)[0], out)

    def run_stages(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run images, uint8 [N, H, W, C].

        Returns:
            The logits, float32 [N, K], and which images the accurate graph answered, bool [N].

        Raises:
            EngineError: see `Session.run`.
        """
        logits = self.fast.run(images)
        again = self.rule.runs_again(logits)
        count = int(np.count_nonzero(again))
        if count:
            answered = self.accurate.run(images[again])
            logits = logits.copy()  # the engine may own the memory
            logits[again] = answered
        with self._lock:
            self._images += len(again)
            self._again += count
        return logits, again

    def close(self) -> None:
        """See `Session.close`."""
        try:
            self.fast.close()
        finally:
            self.accurate.close()


def sessions_of(session: Session) -> tuple[Session, ...]:
    """Return the sessions of the graphs: the fast and the accurate one of a cascade, or the session itself."""
    return (session.fast, session.accurate) if isinstance(session, CascadeSession) else (session,)


def run_stages(session: Session, images: np.ndarray) -> tuple[np.ndarray, tuple[Stage | None, ...]]:
    """Run images, uint8 [N, H, W, C], on any session.

    Returns:
        The logits, float32 [N, K], and for each image the graph of a cascade that answered it; None without a cascade.

    Raises:
        EngineError: see `Session.run`.
    """
    if not isinstance(session, CascadeSession):
        return session.run(images), (None,) * len(images)
    logits, again = session.run_stages(images)
    return logits, tuple("accurate" if each else "fast" for each in again)


def counts_of(session: Session) -> StageCounts | None:
    """Return how many images a cascade has answered; None for a session with one graph."""
    return session.counts if isinstance(session, CascadeSession) else None
