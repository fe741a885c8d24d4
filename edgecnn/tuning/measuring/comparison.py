"""Compares two benchmarks, and separates real changes from variations of the machine."""

import json
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import EdgecnnError
from edgecnn.files import schema
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.benchmark import Benchmark, Measured
from edgecnn.tuning.measuring.estimates import Rounds, ratio_between


@dataclass(frozen=True)
class Change:
    """The change of one bundle under one setting.

    Attributes:
        bundle: name of the bundle.
        setting: the setting.
        same_bundle: whether the digests are equal; otherwise only the names are.
        before_ms: median time of one run in the earlier benchmark; of a cascade the mean.
        after_ms: the same in the later one.
        ratio: the bundle is this many times as fast as before; None if the machine was busy.
        verdict: `slower` or `faster` if the interval excludes 1, else `the same`; `unknown` if the machine was busy.
    """

    bundle: str
    setting: Setting
    same_bundle: bool
    before_ms: float
    after_ms: float
    ratio: Estimate | None
    verdict: str


@dataclass(frozen=True)
class BenchmarkComparison:
    """The comparison with an earlier benchmark.

    Attributes:
        measured_at: UTC time of the earlier benchmark.
        site: differences of hardware or engine versions, or None.
        changes: changes of all results that both benchmarks have.
        failed: results of the earlier benchmark that do not run any more, with the reason.
        missing: other results that only the earlier benchmark has.
    """

    measured_at: str
    site: str | None
    changes: tuple[Change, ...]
    failed: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def slower(self) -> tuple[Change, ...]:
        """The regressions."""
        return tuple(change for change in self.changes if change.verdict == "slower")


def compare(before: Benchmark, after: Benchmark) -> BenchmarkComparison:
    """Compare a benchmark with an earlier one.

    The yardstick, which both benchmarks timed in every round, corrects for changes of the machine's overall speed.
    Other differences between the two days remain, because the benchmarks were not interleaved. If the machine was busy
    during one of them, no verdict is possible.
    """
    pairs = [(old, new) for new in after.results if (old := _earlier(before, new)) is not None]
    found = [id(old) for old, _ in pairs]
    failures = {(each.bundle, each.setting): each.reason for each in after.failed}
    gone = [old for old in before.results if id(old) not in found]
    return BenchmarkComparison(
        measured_at=before.measured_at,
        site=after.site.difference(before.site),
        changes=tuple(_change(before, old, after, new) for old, new in pairs),
        failed=tuple(
            f"{old.bundle} on {old.setting}: {failures[old.bundle, old.setting]}"
            for old in gone
            if (old.bundle, old.setting) in failures
        ),
        missing=tuple(f"{old.bundle} on {old.setting}" for old in gone if (old.bundle, old.setting) not in failures),
    )


def _earlier(before: Benchmark, new: Measured) -> Measured | None:
    """Return the earlier result with the same digest and setting, or else the only one with the same name."""
    named = [old for old in before.results if (old.bundle, old.setting) == (new.bundle, new.setting)]
    same = [old for old in before.results if (old.digest, old.setting) == (new.digest, new.setting)]
    if same:
        return same[0]
    return named[0] if len(named) == 1 else None


def read_benchmark(path: Path) -> Benchmark:
    """Read the output of `edgecnn benchmark --json`.

    Raises:
        EdgecnnError: the file is not a benchmark, or cannot be read.
    """
    try:
        document = json.loads(path.read_bytes())
        if isinstance(document, dict):
            document.pop("comparison", None)  # not part of `Benchmark`
        return schema.read(Benchmark, document)
    except OSError as error:
        raise EdgecnnError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise EdgecnnError(f"{path} is not a benchmark: {error}; create one with `edgecnn benchmark --json`") from None


def _change(before: Benchmark, old: Measured, after: Benchmark, new: Measured) -> Change:
    earlier, later = Rounds(old.speed.turns_ms, before.yardstick_ms), Rounds(new.speed.turns_ms, after.yardstick_ms)
    found = None if before.is_busy or after.is_busy else ratio_between(earlier, later)
    return Change(
        bundle=new.bundle,
        setting=new.setting,
        same_bundle=old.digest == new.digest,
        before_ms=old.speed.cost_ms.value,
        after_ms=new.speed.cost_ms.value,
        ratio=found,
        verdict=_verdict(found),
    )


def _verdict(found: Estimate | None) -> str:
    if found is None:
        return "unknown"
    return "slower" if found.high < 1 else "faster" if found.low > 1 else "the same"
