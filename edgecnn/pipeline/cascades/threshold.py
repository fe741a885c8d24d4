"""Chooses the threshold of a cascade: the smallest with which the bound is likely to hold on other images."""

from dataclasses import dataclass

import numpy as np

from edgecnn.pipeline.cascades.bound import chance, most_differing

_LIKELY = 0.95


@dataclass(frozen=True)
class Choice:
    """A threshold, and its effect on the images on which it was chosen.

    Attributes:
        threshold: an image runs again if its margin is below it; 0 if none does.
        images: number of images.
        again: number of images that run again.
        differing: number of answers of the cascade that differ from the reference's.
    """

    threshold: float
    images: int
    again: int
    differing: int


def choose_threshold(
    margins: np.ndarray, fast_differs: np.ndarray, accurate_differs: np.ndarray, *, limit: float, bounding: int
) -> Choice:
    """Return the smallest threshold with which the bound is likely to hold on other images.

    Likely is a probability of 95 %; see `chance`. If no threshold reaches it, because the images are few, the one with
    the fewest differing answers is taken, and the smallest of these.

    Args:
        margins: margin of the fast graph's answer to each image, [N].
        fast_differs: whether that answer differs from the reference's, bool [N].
        accurate_differs: the same for the accurate graph.
        limit: largest allowed upper bound of the rate of differing answers.
        bounding: number of other images on which the bound will be measured.
    """
    known = np.nan_to_num(margins.astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    order = np.argsort(known, kind="stable")
    known, count = known[order], len(known)
    # Entry m is for the m smallest margins running again.
    differing = np.concatenate([[0], np.cumsum(accurate_differs[order])]) + np.concatenate(
        [np.cumsum(fast_differs[order][::-1])[::-1], [0]]
    )
    possible = np.concatenate([[True], known[1:] > known[:-1], [True]])
    least = np.isneginf(known).sum()  # images without a margin always run again
    possible[:least] = False
    most = _most_likely(count, bounding, limit)
    enough = np.flatnonzero(possible & (differing <= most))
    again = int(enough[0]) if len(enough) else int(np.argmin(np.where(possible, differing, count + 1)))
    return Choice(_between(known, again), count, again, int(differing[again]))


def _most_likely(images: int, bounding: int, limit: float) -> int:
    """Return the largest number of differing answers with which the bound is likely on other images; -1 if none is."""
    allowed, most = most_differing(bounding, limit), -1
    while most + 1 <= images and chance(most + 1, images, bounding, allowed) >= _LIKELY:
        most += 1
    return most


def _between(margins: np.ndarray, again: int) -> float:
    """Return a short number above the first `again` margins, sorted, and not above the next one."""
    if again == 0 or np.isneginf(margins[again - 1]):
        return 0.0
    low = float(margins[again - 1])
    high = float(margins[again]) if again < len(margins) else 2 * low + 1
    high = high if np.isfinite(high) else 2 * low + 1
    for digits in range(2, 17):
        short = float(f"{(low + high) / 2:.{digits}g}")
        # The margins are float32, and so is the comparison with the threshold.
        if low < np.float32(short) <= high:
            return short
    return high
