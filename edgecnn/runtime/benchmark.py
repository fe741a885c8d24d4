"""How long one image takes: candidates interleaved, so that the machine's drift hits all alike."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgecnn.runtime.backend import Session


@dataclass(frozen=True)
class Latency:
    """Time of one run of one batch, in milliseconds: the median and the quartiles over `runs`."""

    median_ms: float
    lower_ms: float
    upper_ms: float
    runs: int


def measure_latency(
    sessions: Mapping[str, Session],
    images: np.ndarray,
    *,
    rounds: int = 15,
    runs: int = 20,
    budget_s: float | None = None,
) -> dict[str, Latency]:
    """Time several sessions on the same batch, in turns.

    Args:
        sessions: name to session.
        images: uint8 [N, H, W, C].
        rounds: how many turns each session gets.
        runs: timed runs of one turn, after as many untimed: the thread pools of the session before are still spinning.
        budget_s: about how long it may take in all; slow networks then run fewer times, once a turn at least.
    """
    if budget_s is not None:
        turn_s = 2 * sum(_seconds(session, images) for session in sessions.values())
        runs = max(1, min(runs, int(budget_s / rounds / turn_s)))
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds):
        for name, session in sessions.items():
            for _ in range(runs):
                session.run(images)
            for _ in range(runs):
                start = time.perf_counter()
                session.run(images)
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: _summary(values) for name, values in times.items()}


def _seconds(session: Session, images: np.ndarray) -> float:
    """Return the time of a second run: the first one prepares."""
    session.run(images)
    start = time.perf_counter()
    session.run(images)
    return time.perf_counter() - start


def _summary(values: list[float]) -> Latency:
    lower, median, upper = np.percentile(values, [25, 50, 75])
    return Latency(float(median), float(lower), float(upper), len(values))
