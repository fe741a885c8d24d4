"""A quick comparison of sessions that are open in this process already."""

from collections.abc import Mapping

import numpy as np

from edgecnn.runtime.engines.backend import Session
from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.measuring.estimates import speed
from edgecnn.tuning.measuring.turn import InProcess, interleave


def median_ms(
    sessions: Mapping[str, Session], images: np.ndarray, *, rounds: int = 12, turn_s: float = 0.08
) -> dict[str, Estimate]:
    """Time several sessions on the same batch, in turns; returns the median of one run in milliseconds.

    Args:
        sessions: name to session.
        images: uint8 [N, H, W, C].
        rounds: turns of each.
        turn_s: about how long one turn takes; slow networks run three times at least.
    """
    turns = interleave([InProcess(session, images) for session in sessions.values()], rounds=rounds, seconds=turn_s)
    return {name: speed(took).p50_ms for name, took in zip(sessions, turns, strict=True)}
