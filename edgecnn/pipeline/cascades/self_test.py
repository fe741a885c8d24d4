"""Makes the self-test of a cascade from the self-tests of its bundles, with images that each graph clearly answers.

A margin differs a little between engines and processors. So only images are taken whose margin under the fast graph is
at least twice the threshold, or at most half of it, on every engine here. Then the same graph answers them elsewhere,
and a damaged graph or another threshold fails the self-test. If no margin is that large, because the fast network is
rarely sure, a quarter above the threshold is enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.self_test import EncodedImage, SelfTest, SelfTestStages
from edgecnn.bundle.store import Bundle
from edgecnn.errors import ProofFailed
from edgecnn.prediction import margin_per_image
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.engine import Session

_ENOUGH = 8
"""Images that run again; fewer in the self-test of the accurate bundle are completed from the choosing images."""
_ENCODED = 4
_LEAST_ABOVE = 1.25


@dataclass(frozen=True)
class Doubtful:
    """Images with small margins under the fast graph, and the accurate graph's logits.

    Shapes: `images` uint8 [N, H, W, C], `logits` float32 [N, K].
    """

    images: np.ndarray
    logits: np.ndarray


def make_self_test(
    fast: Bundle,
    accurate: Bundle,
    threshold: float,
    doubtful: Doubtful,
    *,
    sessions: Mapping[str, Session],
    cascades: Mapping[str, Session],
) -> SelfTest:
    """Return the self-test of a cascade. The expected logits are those in the self-test of the graph that answers.

    If fewer than 8 images of the accurate bundle's self-test run again, images of `doubtful` are added. Their expected
    logits are the accurate graph's own, because no reference has run them.

    Args:
        fast: the fast bundle.
        accurate: the accurate bundle.
        threshold: the threshold.
        doubtful: choosing images, those with the smallest margins.
        sessions: engine name to session of the fast graph.
        cascades: engine name to session of the cascade.

    Raises:
        ProofFailed: no image is clearly answered by one of the graphs.
    """
    first, second, scores = fast.self_test(), accurate.self_test(), accurate.manifest.scores
    sure = _margins(sessions, first.images, scores)[0] / threshold
    kept = sure >= (2 if (sure >= 2).any() else _LEAST_ABOVE)
    run_again = _margins(sessions, second.images, scores)[1] <= threshold / 2
    missing = max(0, _ENOUGH - int(run_again.sum()))
    added = np.flatnonzero(_margins(sessions, doubtful.images, scores)[1] <= threshold / 2)[:missing]
    images = np.concatenate([first.images[kept], second.images[run_again], doubtful.images[added]])
    logits = np.concatenate([first.logits[kept], second.logits[run_again], doubtful.logits[added]])
    again = np.arange(len(images)) >= kept.sum()
    for has, graph, what in (
        (kept.any(), "fast", f"at least {_LEAST_ABOVE} ×"),
        (again.any(), "accurate", "at most half of"),
    ):
        if not has:
            raise ProofFailed(
                f"no self-test image has a margin of {what} the threshold {threshold:g}, so the self-test would not "
                f"prove the {graph} graph; no bundle was written"
            )
    return SelfTest(
        images,
        logits,
        {name: run_batches(session, images, classes=logits.shape[1]) for name, session in cascades.items()},
        _encoded(first, second, threshold, sessions, scores),
        max(first.tolerance, second.tolerance),
        SelfTestStages(again, first.tolerance, second.tolerance),
    )


def _margins(sessions: Mapping[str, Session], images: np.ndarray, scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest margin of each image under the fast graph over all engines, [N] each."""
    found = np.array([margin_per_image(session.run(images), scores) for session in sessions.values()])
    return found.min(axis=0), found.max(axis=0)


def _encoded(
    first: SelfTest, second: SelfTest, threshold: float, sessions: Mapping[str, Session], scores: Scores
) -> tuple[EncodedImage, ...]:
    """Return image files of the fast bundle that stay fast, and of the accurate one that run again."""
    chosen: list[EncodedImage] = []
    for each in first.encoded:
        if _margins(sessions, each.pixels[None], scores)[0][0] >= 2 * threshold:
            chosen.append(each)
    for each in second.encoded:
        if _margins(sessions, each.pixels[None], scores)[1][0] <= threshold / 2:
            chosen.append(each)
    return tuple(chosen[:_ENCODED])
