"""Counts predicted classes and confidences of one version, so that operators see when its images change (drift).

Counting each image would take longer than the rest of the metrics. So logits are kept and counted together, when there
are enough of them and when a client reads the metrics.
"""

import threading
from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from edgecnn.bundle.manifest import Scores
from edgecnn.prediction import least_logit, probabilities_of

CONFIDENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Upper bounds of the histogram's buckets."""
OTHER, NONE = "(other)", "(none)"
"""Names for the classes without an own count, and for an image without a label."""
MOST_CLASSES = 100
"""Maximum number of classes with an own count, because each is a time series."""
_LONGEST_NAME = 100
_KEPT_NUMBERS = 4096
"""Count of logits to keep; to count them takes less than 0.2 ms."""


class PredictionCounts:
    """The counts of one version. Callable from any thread. Images with logits that are not finite are left out."""

    def __init__(self, labels: Sequence[str], scores: Scores) -> None:
        self._names = [_name(label) for label in labels]
        self._scores = scores
        self._classes = np.zeros(len(labels), np.int64)
        self._none = 0
        self._buckets = np.zeros(len(CONFIDENCES), np.int64)
        self._sum = 0.0
        self._own: dict[int, None] = dict.fromkeys(range(len(labels) if len(labels) <= MOST_CLASSES else 0))
        self._kept: deque[np.ndarray] = deque()
        self._room = _KEPT_NUMBERS
        self._lock = threading.Lock()

    def add(self, logits: np.ndarray) -> None:
        """Count the images of a run, float32 [N, K]."""
        self._kept.append(logits.copy())  # an engine may allocate more slowly while its own array is kept
        self._room -= logits.size  # without the lock: a wrong number only delays the count
        if self._room <= 0:
            with self._lock:
                self._count()

    def classes(self) -> Counter[str]:
        """Return the number of predictions by class; classes of the same name are added.

        With more than `MOST_CLASSES` classes, the first ones that are predicted have an own count, and all others count
        as `OTHER`. Of a network with several labels, each label of an image counts, and an image without one as `NONE`.
        """
        with self._lock:
            self._count()
            for index in np.flatnonzero(self._classes).tolist():
                if len(self._own) >= min(MOST_CLASSES, len(self._names)):
                    break
                self._own.setdefault(index)
            found: Counter[str] = Counter()
            for index in self._own:
                found[self._names[index]] += int(self._classes[index])
            if len(self._own) < len(self._names):
                found[OTHER] += int(self._classes.sum()) - found.total()
            if self._scores.multi_label:
                found[NONE] += self._none
            return found

    def confidences(self) -> tuple[list[int], float]:
        """Return the number of images at or below each bound of `CONFIDENCES`, and the sum of their confidences.

        The confidence of an image is its highest score, in [0, 1].
        """
        with self._lock:
            self._count()
            return np.cumsum(self._buckets).tolist(), self._sum

    def _count(self) -> None:
        kept = [self._kept.popleft() for _ in range(len(self._kept))]  # other threads may add to it meanwhile
        self._room = _KEPT_NUMBERS
        if not kept:
            return
        logits = np.concatenate(kept)
        logits = logits[np.isfinite(logits).all(axis=1)]
        if not len(logits):
            return
        confidence = probabilities_of(logits, self._scores).max(axis=1)
        buckets = np.searchsorted(CONFIDENCES[:-1], confidence)
        self._buckets += np.bincount(buckets, minlength=len(CONFIDENCES))
        self._sum += float(confidence.sum())
        if self._scores.multi_label:
            chosen = logits >= least_logit(self._scores)
            self._classes += chosen.sum(axis=0)
            self._none += int((~chosen.any(axis=1)).sum())
        else:
            self._classes += np.bincount(logits.argmax(axis=1), minlength=len(self._names))


def _name(label: str) -> str:
    """Return a label that can be encoded: a manifest may contain half of a surrogate pair."""
    return label[:_LONGEST_NAME].encode(errors="backslashreplace").decode()
