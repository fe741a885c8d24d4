"""Finds the fastest way to run a network on this machine with the required accuracy."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence

from edgecnn.bundle.manifest import utc_now
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineMissing, UsageError
from edgecnn.host.resources import usable_cores
from edgecnn.progress import Progress, silent
from edgecnn.runtime.choosing import check_one_reference
from edgecnn.runtime.engines.choices import PYTORCH
from edgecnn.runtime.engines.registry import installed, none_installed
from edgecnn.runtime.profile import FORMAT, Chosen, Profile, Purpose, profile_path
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.site import this_site
from edgecnn.tuning.conclusion import Tuned, decide, say
from edgecnn.tuning.contest import Contestant
from edgecnn.tuning.halving import FIRST_WARM_UP_S, Halving
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.given_images import GivenImages, ImageFiles, check_given

MAX_DROP = 0.1
BUDGET_S = 60.0
_BATCHES = (1, 8)
"""Batch sizes for throughput. Larger batches are not faster on a CPU."""
_PATIENCE_S = 30.0
_FIRST_SHARE = 0.5
"""Share of the time budget for the first stage."""


def tune(
    bundles: Sequence[Bundle],
    *,
    images: GivenImages | None = None,
    purpose: Purpose = "latency",
    max_drop: float = MAX_DROP,
    budget_s: float = BUDGET_S,
    modules: Mapping[str, str] | None = None,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
) -> Tuned:
    """Choose bundle, engine, threads, instances and batch size among the bundles of one reference.

    Args:
        bundles: bundles of one reference.
        images: images of the runs; None for those of the self-tests. Cascades take part only if they are given.
        purpose: `latency` of one image, or `throughput` of many.
        max_drop: largest allowed drop by a bundle's proof, in percentage points of top-1.
        budget_s: approximate time limit in seconds.
        modules: engine to the module that runs it; with `pytorch`, the conclusion compares with the reference.
        progress: called after each step.
        clock: returns monotonic seconds.

    Raises:
        UsageError: no bundle is given, the bundles come from several references, or all are cascades and there are no
            images.
        EngineMissing: no engine is installed.
        EngineError: no setting runs here with the required accuracy.
    """
    if not bundles:
        raise UsageError("no bundle given: name a bundle, or a folder of bundles")
    check_one_reference(bundles)
    if all(bundle.manifest.cascade is not None for bundle in bundles):
        check_given(bundles, images)
    engines = installed()
    if not engines:
        raise EngineMissing(none_installed())
    profile_path(bundles[0].manifest.reference.digest, purpose)  # fail early without a home folder
    end = clock() + budget_s
    space = search_space(bundles, engines, cores=usable_cores(), purpose=purpose)
    patience_s = max(_PATIENCE_S, budget_s)
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(ImageFiles(images))
        field = [
            Contestant(Candidate(bundle, setting, images=files.of(bundle), timeout_s=patience_s), purpose)
            for bundle, setting in space
        ]
        for contestant in field:
            bundle = contestant.candidate.bundle
            contestant.judge(drop_points(bundle, contestant.candidate.setting.engine), max_drop)
            if bundle.manifest.cascade is not None and images is None:
                contestant.out = "not measured: the cost of a cascade depends on the images; name some with --data"
        search = Halving(field, clock, progress)
        search.try_each(end - (1 - _FIRST_SHARE) * budget_s)
        baseline = _baseline(bundles[0], files, purpose, modules, stack)
        finalists = search.compare(baseline, end, stack)
    decision = decide(finalists, baseline, search.rounds)
    kept = profile_of(decision.winner, field, bundles, max_drop=max_drop, conclusion=say(decision, field))
    return Tuned(kept, tuple(contestant.trial() for contestant in field), is_busy=decision.doubt is not None)


def search_space(
    bundles: Sequence[Bundle], engines: Sequence[str], *, cores: int, purpose: Purpose
) -> list[tuple[Bundle, Setting]]:
    """Return the candidates, the most promising first, because the last ones may run out of time.

    For latency: batch 1, on all cores, on one thread, and on the powers of two between. For throughput: instances in
    the same steps, which share the cores.
    """
    order = sorted(bundles, key=lambda bundle: bundle.manifest.precision != "int8")
    return [(bundle, setting) for setting in _settings(engines, cores, purpose) for bundle in order]


def _settings(engines: Sequence[str], cores: int, purpose: Purpose) -> list[Setting]:
    if purpose == "latency":
        return [Setting(engine, threads=threads) for threads in _steps(cores) for engine in engines]
    return [
        Setting(engine, threads=max(1, cores // instances), instances=instances, batch=batch)
        for instances in _steps(cores)
        for batch in _BATCHES
        for engine in engines
    ]


def _steps(cores: int) -> list[int]:
    """Return the number of cores, then one, then the powers of two between."""
    between = [1 << power for power in range(1, cores.bit_length()) if 1 < 1 << power < cores]
    return list(dict.fromkeys([cores, 1, *reversed(between)]))


def drop_points(bundle: Bundle, engine: str) -> float:
    """Return the drop of a bundle in percentage points, according to its sealed proof.

    It is the drop on the given engine, or the largest one if the proof does not include this engine. It is negative if
    the bundle is more accurate. Without targets, every answer that differs from the reference's counts as lost. An FP32
    bundle has no drop: its proof shows that it agrees with the reference.
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
    bundle: Bundle,
    files: ImageFiles,
    purpose: Purpose,
    modules: Mapping[str, str] | None,
    stack: contextlib.ExitStack,
) -> Contestant | None:
    """Open the PyTorch reference if it is installed."""
    if PYTORCH not in (modules or {}):
        return None
    setting = Setting(PYTORCH, threads=usable_cores())
    candidate = stack.enter_context(Candidate(bundle, setting, images=files.of(bundle), modules=modules))
    return Contestant(candidate, purpose) if candidate.open(warm_up_s=FIRST_WARM_UP_S) else None


def profile_of(
    winner: Contestant, field: Sequence[Contestant], bundles: Sequence[Bundle], *, max_drop: float, conclusion: str
) -> Profile:
    """Return the profile: the winner, and for each bundle the fastest setting whose self-test passes."""
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
        conclusion=conclusion,
    )
