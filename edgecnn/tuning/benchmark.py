"""Measures bundles under combinations of settings, and compares the result with an earlier benchmark."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, SlowerThanBefore, UsageError
from edgecnn.hints import few, install_command
from edgecnn.host.bandwidth import read_bandwidth_apart
from edgecnn.host.resources import usable_cores
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.choices import ENGINES, PYTORCH, check_engine
from edgecnn.runtime.engines.engine import Precision
from edgecnn.runtime.engines.registry import installed, none_installed
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.benchmark import ROUNDS, TURN_S, Benchmark, settings
from edgecnn.tuning.measuring.benchmark import benchmark as measure
from edgecnn.tuning.measuring.comparison import BenchmarkComparison, compare, read_benchmark
from edgecnn.tuning.measuring.estimates import as_fast
from edgecnn.tuning.measuring.given_images import GivenImages, check_given
from edgecnn.tuning.measuring.peak import peak_apart


@dataclass(frozen=True)
class Benchmarked:
    """The result of a benchmark, and its comparison with an earlier benchmark if one was given."""

    benchmark: Benchmark
    comparison: BenchmarkComparison | None = None
    earlier: Path | None = None

    def __repr__(self) -> str:
        ordered = sorted(self.benchmark.results, key=lambda each: each.speed.cost_ms.value)
        rows = [f"{each.bundle} on {each.setting}: {each.speed.cost_ms.value:.3g} ms" for each in ordered]
        return f"<Benchmarked {few(rows, separator='; ') or 'nothing'}>"

    def _repr_html_(self) -> str:
        """Return the results, the fastest first, and the comparison as tables, for notebooks."""
        from edgecnn.html_table import table

        site = self.benchmark.site
        ordered = sorted(self.benchmark.results, key=lambda each: each.speed.cost_ms.value)
        rows = [
            (each.bundle, str(each.setting), str(each.speed.cost_ms), str(each.speed.images_per_s)) for each in ordered
        ]
        has_cascade = any(each.speed.run_again is not None for each in ordered)
        header = ("bundle", "setting", "p50 or mean ms" if has_cascade else "p50 ms", "images/s")
        html = table(f"Benchmark on {site.processor}, cores: {site.cores}", rows, header=header, right=(2, 3))
        if self.comparison is None:
            return html
        changes = [
            (each.bundle, str(each.setting), "" if each.ratio is None else as_fast(each.ratio), each.verdict)
            for each in self.comparison.changes
        ]
        header = ("bundle", "setting", "speed", "verdict")
        return html + table(f"Compared with {self.comparison.measured_at}", changes, header=header)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the sessions, the settings that did not run, and one if the machine is busy, each once."""
        notes = [note for each in self.benchmark.results for note in each.notes]
        notes += [f"{each.bundle} does not run on {each.setting}: {each.reason}" for each in self.benchmark.failed]
        if self.benchmark.is_busy:
            notes.append("this machine is busy: the times are too high; run `edgecnn benchmark` again when it is idle")
        elif self.comparison is not None and any(each.verdict == "unknown" for each in self.comparison.changes):
            notes.append(f"this machine was busy during the benchmark in {self.earlier}: no comparison")
        return tuple(dict.fromkeys(notes))

    def raise_for_failures(self) -> None:
        """Raise an error if nothing ran, or the comparison shows a regression.

        Raises:
            SlowerThanBefore: a result is slower than in the earlier benchmark, or does not run any more.
            UsageError: the benchmarks have no bundle and setting in common.
            EdgecnnError: nothing ran.
        """
        if not self.benchmark.results:
            raise EdgecnnError("no requested setting runs here: run `edgecnn doctor` to see which devices work")
        if self.comparison is None:
            return
        changes, slower, failed = self.comparison.changes, self.comparison.slower, self.comparison.failed
        if failed:
            raise SlowerThanBefore(f"{len(failed)} results of {self.earlier} do not run any more: {failed[0]}")
        if not changes:
            raise UsageError(
                f"{self.earlier} has no result for these bundles and settings: use the same bundles and settings"
            )
        if slower:
            ratios = [(each, each.ratio) for each in slower if each.ratio is not None]
            worst, ratio = min(ratios, key=lambda pair: pair[1].high)
            raise SlowerThanBefore(
                f"{len(slower)} of {len(changes)} results are slower than in {self.earlier}; the worst: "
                f"{worst.bundle} on {worst.setting} is {as_fast(ratio)}"
            )


def benchmark(
    bundles: Sequence[Bundle],
    *,
    images: GivenImages | None = None,
    engines: Sequence[str] = (),
    precisions: Iterable[Precision] = ("fp32",),
    threads: Iterable[int] = (),
    instances: Iterable[int] = (1,),
    batches: Iterable[int] = (1,),
    rounds: int = ROUNDS,
    turn_s: float = TURN_S,
    earlier: Path | None = None,
    modules: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Benchmarked:
    """Measure bundles under every combination of settings, each in a separate process.

    A bundle that does not run, or is slower than before, raises no error here: see `Benchmarked.raise_for_failures`.

    Args:
        bundles: bundles to measure.
        images: images of the runs, which a cascade requires; None for those of the self-test.
        engines: engines, or `pytorch` if `modules` contains it; empty for all that are installed.
        precisions: precisions of float operators.
        threads: threads of one run; empty for the usable cores.
        instances: runs at the same time.
        batches: images of one run.
        rounds: turns of each candidate.
        turn_s: seconds of one turn.
        earlier: file of an earlier benchmark to compare with, written by `edgecnn benchmark --json`.
        modules: engine to the module that runs it, for engines that are not engines.
        progress: called after each step.

    Raises:
        UsageError: an engine is unknown or not installed, a cascade has no images, or its earlier ones were others.
        EdgecnnError: no engine is installed, or the earlier file is not a benchmark.
    """
    check_given(bundles, images)
    before = None if earlier is None else read_benchmark(earlier)
    if before is not None:
        _check_same_images(bundles, before, images, earlier)
    names = _engines(engines, modules or {})
    counts = tuple(threads) or (usable_cores(),)
    engines = [name for name in names if name != PYTORCH]
    candidates: list[Setting] = settings(
        engines, precisions=precisions, threads=counts, instances=instances, batches=batches
    )
    if PYTORCH in names:  # PyTorch runs without instances, and only in FP32
        candidates += settings([PYTORCH], threads=counts, batches=batches)
    found = measure(
        bundles,
        candidates,
        images=images,
        rounds=rounds,
        turn_s=turn_s,
        modules=modules,
        peak=peak_apart,
        bandwidth=read_bandwidth_apart,
        progress=progress,
    )
    return Benchmarked(found, None if before is None else compare(before, found), earlier)


def _engines(named: Sequence[str], modules: Mapping[str, str]) -> Sequence[str]:
    """Return the engines to measure, after checking the named ones."""
    for name in named:
        check_installed(name, modules)
    available = (*installed(), *modules)
    if not named and not available:
        raise EdgecnnError(none_installed())
    return named or available


def check_installed(engine: str, modules: Mapping[str, str]) -> None:
    """Check that an engine is installed, or that `modules` contains it.

    Raises:
        UsageError: it is unknown or not installed.
    """
    check_engine(engine, names=(*ENGINES, PYTORCH))
    if engine not in (*installed(), *modules):
        raise UsageError(f"{engine} is not installed: {install_command('pipeline' if engine == PYTORCH else engine)}")


def _check_same_images(
    bundles: Sequence[Bundle], before: Benchmark, images: GivenImages | None, earlier: Path | None
) -> None:
    """Check that cascades run on the images of the earlier benchmark.

    Raises:
        UsageError: they do not.
    """
    if all(bundle.manifest.cascade is None for bundle in bundles) or images is None or images.data == before.data:
        return
    found = "those of the self-tests" if before.data is None else f"{before.data.images} images of {before.data.source}"
    raise UsageError(
        f"{earlier} was measured on other images ({found}), and the cost of a cascade depends on them: give the same "
        f"--data, --images and --seed"
    )
