"""Measures what a cascade costs on this machine: both graphs, interleaved, and the share that runs again."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from edgecnn.bundle.cascade_record import CascadeCost
from edgecnn.bundle.store import Bundle
from edgecnn.host.processor import processor
from edgecnn.host.resources import usable_cores
from edgecnn.progress import Progress, silent
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.estimates import medians_ms, percentile_ms, ratio, why_uncertain
from edgecnn.tuning.measuring.turn import interleave, settle

_ROUNDS, _MOST_ROUNDS = 12, 36
_TURN_S = 0.1
_WARM_UP_S = 1.0


@dataclass(frozen=True)
class Measured:
    """The cost of a cascade on its fastest engine; None if it was not measured, with the reason."""

    cost: CascadeCost | None
    doubt: str | None = None


def measure_cost(
    fast: Bundle, accurate: Bundle, shares: Mapping[str, float], *, progress: Progress = silent
) -> Measured:
    """Time both graphs with one image per run on all usable cores, in turns and in separate processes.

    Args:
        fast: the fast bundle.
        accurate: the accurate bundle.
        shares: engine to the share of images that run again.
        progress: called after each turn.
    """
    threads = usable_cores()
    with contextlib.ExitStack() as stack:
        candidates = [
            stack.enter_context(Candidate(bundle, Setting(engine, threads=threads)))
            for engine in shares
            for bundle in (fast, accurate)
        ]
        for candidate in candidates:
            candidate.open(warm_up_s=_WARM_UP_S)
        turns = interleave(
            candidates, rounds=_ROUNDS, most=_MOST_ROUNDS, seconds=_TURN_S, stage="measuring", progress=progress
        )
        failures = [each.failure for each in candidates if each.failure is not None]
    rounds = settle(turns, _ROUNDS)
    pairs = rounds.pairs(shares)
    if not pairs:
        return Measured(None, f"no engine ran both graphs: {failures[0]}")
    doubt = why_uncertain(rounds, [ratio(medians_ms(slow), medians_ms(quick)) for quick, slow in pairs.values()])
    if doubt is not None:
        return Measured(None, doubt)
    costs = []
    for engine, pair in pairs.items():
        fast_ms, accurate_ms = (percentile_ms(each, 50).value for each in pair)
        expected_ms = fast_ms + shares[engine] * accurate_ms
        costs.append(CascadeCost(engine, processor().name, threads, fast_ms, accurate_ms, expected_ms))
    return Measured(min(costs, key=lambda cost: cost.expected_ms))
