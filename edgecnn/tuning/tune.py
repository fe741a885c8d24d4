"""Find the fastest way to run a network here, among those whose answers are good enough."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence

from edgecnn.bundle.manifest import utc_now
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineMissing, UsageError
from edgecnn.host.resources import usable_cores
from edgecnn.progress import Progress, silent
from edgecnn.runtime.choosing import check_one_reference
from edgecnn.runtime.engines.backends import NONE_INSTALLED, installed
from edgecnn.runtime.profile import FORMAT, Chosen, Profile, Purpose, profile_path
from edgecnn.runtime.setting import PYTORCH, Setting
from edgecnn.runtime.site import this_site
from edgecnn.tuning.contest import Contestant
from edgecnn.tuning.halving import FIRST_WARM_UP_S, Halving
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.verdict import Tuned, decide, say

MAX_DROP = 0.1
BUDGET_S = 60.0
_BATCHES = (1, 8)
"""For throughput: larger batches gain nothing on a CPU."""
_PATIENCE_S = 30.0
_FIRST_SHARE = 0.5
"""Of the time, after which those that were not tried yet are left out."""


def tune(
    bundles: Sequence[Bundle],
    *,
    purpose: Purpose = "latency",
    max_drop: float = MAX_DROP,
    budget_s: float = BUDGET_S,
    modules: Mapping[str, str] | None = None,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
) -> Tuned:
    """Choose engine, bundle, threads, streams and batch size among the bundles of one reference.

    Args:
        bundles: of one reference.
        purpose: `latency` of one image, or `throughput` of many.
        max_drop: points of top-1 that a bundle may have lost by its own proof.
        budget_s: about how long it may take in all.
        modules: backend to the module that runs it; with `pytorch` in it the verdict is held against the reference.
        progress: told after each step.
        clock: seconds that never go back.

    Raises:
        UsageError: there is no bundle, or they come from several references.
        EngineMissing: no engine is installed.
        EngineError: nothing runs here, or nothing that does answers well enough.
    """
    if not bundles:
        raise UsageError("there is no bundle to choose from: name one, or a folder of them")
    check_one_reference(bundles)
    engines = installed()
    if not engines:
        raise EngineMissing(NONE_INSTALLED)
    profile_path(bundles[0].manifest.reference.digest, purpose)  # where there is no place for it, that is told first
    end = clock() + budget_s
    space = search_space(bundles, engines, cores=usable_cores(), purpose=purpose)
    patience_s = max(_PATIENCE_S, budget_s)
    field = [Contestant(Candidate(bundle, setting, timeout_s=patience_s), purpose) for bundle, setting in space]
    for contestant in field:
        contestant.judge(drop_points(contestant.candidate.bundle, contestant.candidate.setting.backend), max_drop)
    search = Halving(field, clock, progress)
    search.try_each(end - (1 - _FIRST_SHARE) * budget_s)
    with contextlib.ExitStack() as stack:
        baseline = _baseline(bundles[0], purpose, modules, stack)
        winner, gain = decide(search.compare(baseline, end, stack))
    text = say(winner, gain, field, baseline)
    kept = profile_of(winner, field, bundles, max_drop=max_drop, verdict=text)
    return Tuned(kept, tuple(contestant.trial() for contestant in field))


def search_space(
    bundles: Sequence[Bundle], engines: Sequence[str], *, cores: int, purpose: Purpose
) -> list[tuple[Bundle, Setting]]:
    """List the candidates, the most promising first: where time is short the end is left out.

    For latency one image at a time, on one thread, on all cores, and on the powers of two between. For throughput the
    cores are shared between streams in the same steps.
    """
    order = sorted(bundles, key=lambda bundle: bundle.manifest.precision != "int8")
    return [(bundle, setting) for setting in _settings(engines, cores, purpose) for bundle in order]


def _settings(engines: Sequence[str], cores: int, purpose: Purpose) -> list[Setting]:
    if purpose == "latency":
        return [Setting(engine, threads=threads) for threads in _steps(cores) for engine in engines]
    return [
        Setting(engine, threads=max(1, cores // streams), streams=streams, batch=batch)
        for streams in _steps(cores)
        for batch in _BATCHES
        for engine in engines
    ]


def _steps(cores: int) -> list[int]:
    """Return all cores, then one, then the powers of two between."""
    between = [1 << power for power in range(1, cores.bit_length()) if 1 < 1 << power < cores]
    return list(dict.fromkeys([cores, 1, *reversed(between)]))


def drop_points(bundle: Bundle, engine: str) -> float:
    """Return by how many points a bundle's top-1 accuracy is below the reference's, according to its sealed proof.

    The drop is the one on the given engine, or the largest one if the proof does not name this engine. It is negative
    if the bundle is more accurate. Without targets, every answer that differs from the reference's counts as lost. An
    FP32 bundle has no drop: its proof shows that it agrees with the reference.
    """
    if bundle.manifest.precision == "fp32":
        return 0.0
    proofs = bundle.proof().engines
    chosen = [proof for proof in proofs if proof.engine == engine] or proofs
    drops = [
        1 - found.agreement if found.top1 is None or found.reference_top1 is None else found.reference_top1 - found.top1
        for found in (proof.comparison for proof in chosen)
    ]
    return 100 * max(drops)


def _baseline(
    bundle: Bundle, purpose: Purpose, modules: Mapping[str, str] | None, stack: contextlib.ExitStack
) -> Contestant | None:
    """Start the PyTorch reference, where it is installed."""
    if PYTORCH not in (modules or {}):
        return None
    candidate = stack.enter_context(Candidate(bundle, Setting(PYTORCH, threads=usable_cores()), modules=modules))
    return Contestant(candidate, purpose) if candidate.open(warm_up_s=FIRST_WARM_UP_S) else None


def profile_of(
    winner: Contestant, field: Sequence[Contestant], bundles: Sequence[Bundle], *, max_drop: float, verdict: str
) -> Profile:
    """Return what is kept: the winner, and of each bundle the fastest setting under which its self-test holds."""
    best: dict[str, Chosen] = {}
    for contestant in sorted((c for c in field if c.proven and c.turns), key=Contestant.cost, reverse=True):
        best[contestant.candidate.bundle.digest] = contestant.chosen()
    best[winner.candidate.bundle.digest] = winner.chosen()
    return Profile(
        format=FORMAT,
        site=this_site(),
        reference=bundles[0].manifest.reference.digest,
        purpose=winner.purpose,
        measured_at=utc_now(),
        max_drop=max_drop,
        bundles={bundle.digest: bundle.manifest.name for bundle in bundles},
        choice=winner.chosen(),
        best=best,
        verdict=verdict,
    )
