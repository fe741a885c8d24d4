"""Two benchmarks of different days: which differences are real, which are the machine's mood."""

import json
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import EdgecnnError
from edgecnn.files import schema
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.benchmark import Benchmark, Measured
from edgecnn.tuning.measuring.estimates import Rounds, change


@dataclass(frozen=True)
class Change:
    """One bundle under one setting, then and now.

    Attributes:
        bundle: its name.
        setting: how it ran.
        same_bundle: whether it is the same, byte for byte, or only of that name.
        before_ms: median time of one run then.
        after_ms: now.
        change: relative; 0.1 is a tenth slower.
        verdict: `slower` or `faster` where the interval excludes 0, else `the same`.
    """

    bundle: str
    setting: Setting
    same_bundle: bool
    before_ms: float
    after_ms: float
    change: Estimate
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """What has changed since an earlier benchmark.

    Attributes:
        measured_at: when the earlier one was measured, UTC.
        site: in what the place differs, or None.
        changes: of what both have measured.
        failed: what ran then and does not any more, and why.
        missing: what else only the earlier one has measured.
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


def compare(before: Benchmark, after: Benchmark) -> Comparison:
    """Hold a benchmark against an earlier one.

    The two were not interleaved, so that whatever the machine did in between is in the difference. What it did to
    everything alike is taken out by the yardstick that both have timed in every round.
    """
    pairs = [(old, new) for new in after.results if (old := _earlier(before, new)) is not None]
    found = [id(old) for old, _ in pairs]
    failures = {(each.bundle, each.setting): each.reason for each in after.failed}
    gone = [old for old in before.results if id(old) not in found]
    return Comparison(
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
    """Find what an earlier benchmark has of a result: the same bundle, or the only one of its name."""
    named = [old for old in before.results if (old.bundle, old.setting) == (new.bundle, new.setting)]
    same = [old for old in before.results if (old.digest, old.setting) == (new.digest, new.setting)]
    if same:
        return same[0]
    return named[0] if len(named) == 1 else None


def read_benchmark(path: Path) -> Benchmark:
    """Read what `edgecnn benchmark --json` wrote.

    Raises:
        EdgecnnError: it is something else.
    """
    try:
        document = json.loads(path.read_bytes())
        if isinstance(document, dict):
            document.pop("comparison", None)  # what it was held against is of no matter here
        return schema.read(Benchmark, document)
    except OSError as error:
        raise EdgecnnError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise EdgecnnError(f"{path} is no benchmark: {error}; `edgecnn benchmark --json` writes one") from None


def _change(before: Benchmark, old: Measured, after: Benchmark, new: Measured) -> Change:
    found = change(Rounds(old.speed.turns_ms, before.yardstick_ms), Rounds(new.speed.turns_ms, after.yardstick_ms))
    verdict = "slower" if found.low > 0 else "faster" if found.high < 0 else "the same"
    return Change(
        bundle=new.bundle,
        setting=new.setting,
        same_bundle=old.digest == new.digest,
        before_ms=old.speed.p50_ms.value,
        after_ms=new.speed.p50_ms.value,
        change=found,
        verdict=verdict,
    )
