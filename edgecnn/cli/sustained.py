"""`edgecnn benchmark --sustained`: run one bundle for minutes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.cli.output import columns, emit, number, progress_bar, warn
from edgecnn.errors import UsageError

if TYPE_CHECKING:
    from edgecnn.tuning.sustained import Second, Sustained

_ROWS = 12
_SINGLE = {"engines": "engine", "precisions": "precision", "threads": "threads"}
_SINGLE |= {"instances": "instances", "batches": "batch"}
"""Options of `benchmark` that may be repeated -> the argument of `sustain`, and the name of the option."""


def run_sustained(
    bundles: Sequence[Path],
    minutes: float,
    *,
    as_json: bool,
    files: Sequence[Path | None],
    earlier: Path | None,
    **options: Any,
) -> None:
    """Run the only bundle with the only setting, and print the result.

    Raises:
        UsageError: there are several bundles or settings, or options that compare or write tables.
    """
    if len(bundles) != 1:
        raise UsageError(f"--sustained runs one bundle, found {len(bundles)}: name one BUNDLE")
    if earlier is not None or any(file is not None for file in files):
        raise UsageError("--sustained has no table of settings: omit --compare, --csv and --plot, or use --json")
    single = {argument: _only(argument, options[option]) for option, argument in _SINGLE.items()}
    single["engine"] = single["engine"] or _only_engine()
    from edgecnn.files.schema import plain
    from edgecnn.stages.measuring import sustain

    given = {name: options[name] for name in ("data", "images", "seed")}
    with progress_bar() as progress:
        found = sustain(bundles[0], minutes=minutes, progress=progress, **given, **single)
    derived = {
        "first_ms": found.seconds[0].run_ms,
        "steady_ms": found.steady_ms,
        "as_fast": plain(found.as_fast),
        "is_complete": found.is_complete,
        "is_busy": found.is_busy,
        "throttled": found.throttled,
        "limits": list(found.limits),
    }
    emit(plain(found) | derived, _text(found), as_json=as_json)
    if found.is_busy:
        warn("this machine is busy: the times are too high; run it again when it is idle")


def _only(argument: str, values: Sequence[Any]) -> Any:
    """Return the only value of a repeatable option; None if it is not given."""
    if len(values) > 1:
        raise UsageError(f"--sustained runs one setting, found {len(values)} × --{argument}: name one")
    return values[0] if values else None


def _only_engine() -> str:
    """Return the only installed engine."""
    from edgecnn.runtime.engines.registry import installed, none_installed

    names = installed()
    if len(names) > 1:
        raise UsageError(f"--sustained runs one engine: choose --engine {' or --engine '.join(names)}")
    if not names:
        raise UsageError(none_installed())
    return names[0]


def _text(found: "Sustained") -> str:
    from edgecnn.tuning.measuring.estimates import as_fast

    first, last = found.seconds[0], found.seconds[-1]
    change = "" if found.as_fast is None else f": {as_fast(found.as_fast)}"
    site = found.site
    header = ("  seconds", "ms per run", "images/s", "MHz", "°C")
    rows = [header, *(_row(second) for second in _chosen(found.seconds))]
    lines = [
        f"{found.bundle} on {found.setting}; {site.processor}, cores: {site.cores}",
        columns(rows, right=range(1, 5)),
        "",
        f"first second {number(first.run_ms)} ms, steady state {number(found.steady_ms)} ms{change}",
        f"throttling: {_throttling(found)}",
    ]
    if not found.is_complete:
        lines.append(f"interrupted after {last.at_s:.0f} of {found.planned_s:.0f} s")
    return "\n".join(lines)


def _chosen(seconds: Sequence["Second"]) -> Sequence["Second"]:
    """Return evenly spaced seconds, the first and the last one included."""
    count = min(_ROWS, len(seconds))
    return [seconds[round(number * (len(seconds) - 1) / max(1, count - 1))] for number in range(count)]


def _row(second: "Second") -> tuple[str, ...]:
    state = second.state
    return (
        f"  {second.at_s:.0f}",
        number(second.run_ms),
        number(second.images_per_s),
        "" if state.clock_mhz is None else f"{state.clock_mhz:.0f}",
        "" if state.temperature_c is None else f"{state.temperature_c:.1f}",
    )


def _throttling(found: "Sustained") -> str:
    if found.limits:
        return ", ".join(found.limits)
    if found.throttled is not None:
        return f"{found.throttled} events" if found.throttled else "none"
    state = found.seconds[-1].state
    return "none" if state.limits is not None else "not shown by this system"
