"""Measures bundles under every combination of settings, and compares the result with an earlier one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, SlowerThanBefore, UsageError
from edgecnn.host.resources import usable_cores
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.backend import Precision
from edgecnn.runtime.engines.backends import NONE_INSTALLED, installed
from edgecnn.runtime.engines.choices import BACKENDS
from edgecnn.runtime.setting import PYTORCH, Setting
from edgecnn.tuning.measuring.benchmark import ROUNDS, TURN_S, Benchmark, settings
from edgecnn.tuning.measuring.benchmark import benchmark as measure
from edgecnn.tuning.measuring.comparison import Comparison, compare, read_benchmark
from edgecnn.tuning.measuring.peak import peak_apart


@dataclass(frozen=True)
class Benchmarked:
    """The result of a benchmark, and what has changed since the earlier benchmark in a file, if one was given."""

    benchmark: Benchmark
    comparison: Comparison | None = None
    earlier: Path | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the sessions, and what did not run; each once."""
        notes = [note for each in self.benchmark.results for note in each.notes]
        notes += [f"{each.bundle} does not run on {each.setting}: {each.reason}" for each in self.benchmark.failed]
        return tuple(dict.fromkeys(notes))

    def raise_for_failures(self) -> None:
        """Raise an error if nothing ran, or the comparison shows a regression.

        Raises:
            SlowerThanBefore: something is slower than in the earlier benchmark, or does not run any more.
            UsageError: the earlier benchmark has nothing in common with this one.
            EdgecnnError: nothing ran.
        """
        if not self.benchmark.results:
            raise EdgecnnError("nothing of what was asked for runs here; `edgecnn doctor` says what does")
        if self.comparison is None:
            return
        changes, slower, failed = self.comparison.changes, self.comparison.slower, self.comparison.failed
        if failed:
            raise SlowerThanBefore(f"{len(failed)} that ran in {self.earlier} do not run any more: {failed[0]}")
        if not changes:
            raise UsageError(
                f"{self.earlier} has measured none of these bundles under these settings: nothing can be compared"
            )
        if slower:
            worst = max(slower, key=lambda each: each.change.low)
            raise SlowerThanBefore(
                f"{len(slower)} of {len(changes)} are slower than in {self.earlier}; the worst: {worst.bundle} on "
                f"{worst.setting}, {worst.change.value:+.1%} [{worst.change.low:+.1%}, {worst.change.high:+.1%}]"
            )


def benchmark(
    bundles: Sequence[Bundle],
    *,
    backends: Sequence[str] = (),
    precisions: Iterable[Precision] = ("fp32",),
    threads: Iterable[int] = (),
    streams: Iterable[int] = (1,),
    batches: Iterable[int] = (1,),
    rounds: int = ROUNDS,
    turn_s: float = TURN_S,
    earlier: Path | None = None,
    modules: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Benchmarked:
    """Measure bundles under every combination of settings, each in a process of its own.

    A bundle that does not run, or is slower than before, raises nothing here: see `Benchmarked.raise_for_failures`.

    Args:
        bundles: what runs.
        backends: engines, or `pytorch` if `modules` has it; empty for all that are installed.
        precisions: what float layers compute in.
        threads: of one run; empty for the usable cores.
        streams: runs at once.
        batches: images of one run.
        rounds: turns of each candidate.
        turn_s: seconds of one turn.
        earlier: the file of an earlier benchmark to compare with, as `edgecnn benchmark --json` wrote it.
        modules: backend to the module that runs it, for what is not an engine.
        progress: called after each step.

    Raises:
        UsageError: there is no such backend, or it is not installed.
        EdgecnnError: no engine is installed, or the earlier file is not a benchmark.
    """
    before = None if earlier is None else read_benchmark(earlier)
    names = _backends(backends, modules or {})
    counts = tuple(threads) or (usable_cores(),)
    engines = [name for name in names if name != PYTORCH]
    candidates: list[Setting] = settings(
        engines, precisions=precisions, threads=counts, streams=streams, batches=batches
    )
    if PYTORCH in names:  # it has neither streams nor other precisions
        candidates += settings([PYTORCH], threads=counts, batches=batches)
    found = measure(
        bundles, candidates, rounds=rounds, turn_s=turn_s, modules=modules, peak=peak_apart, progress=progress
    )
    return Benchmarked(found, None if before is None else compare(before, found), earlier)


def _backends(named: Sequence[str], modules: Mapping[str, str]) -> Sequence[str]:
    """Return the backends to measure, after checking those that were named."""
    available = (*installed(), *modules)
    for name in named:
        if name not in (*BACKENDS, PYTORCH):
            raise UsageError(f"there is no backend {name!r}: choose {', '.join(BACKENDS)} or {PYTORCH}")
        if name not in available:
            extra = "pipeline" if name == PYTORCH else name
            raise UsageError(f"{name} is not installed: pip install 'edgecnn[{extra}]'")
    if not named and not available:
        raise EdgecnnError(NONE_INSTALLED)
    return named or available
