"""Measure what huge pages for the weights are worth: each way in several fresh processes, in turns.

The addresses of the weights differ from process to process, which alone makes a network some percent faster or slower.
So the unit is the process: each trial starts one process for each way, and the intervals are over the trials. Writes
the data and `results/huge_pages.md`; the first run builds the models in `build/runtime`.

    python -m benchmarks.engines.huge_pages [--trials 10] [NETWORK…]    # on an idle machine
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common.results import command_line, origin, output
from benchmarks.common.tables import interval, ratio, table, where
from benchmarks.engines.bundles import prepared
from edgecnn.bundle.store import Bundle
from edgecnn.files.schema import plain
from edgecnn.host.huge_pages import VARIABLE
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.estimates import medians_ms
from edgecnn.tuning.measuring.estimates import ratio as ratio_of
from edgecnn.tuning.measuring.process import MeasuringProcess
from edgecnn.tuning.measuring.turn import interleave

SMALL, HUGE = "4 KiB", "2 MiB"
WAYS = {SMALL: {VARIABLE: "0"}, HUGE: {VARIABLE: "1"}}
"""Name -> environment of the process."""

NETWORKS = ("alexnet", "vgg16", "googlenet", "resnet18")
_TRIALS, _ROUNDS, _TURN_S = 10, 6, 0.25


@dataclass(frozen=True)
class Trial:
    """The medians of one process for each way.

    Attributes:
        times_ms: way -> median time of a run.
        ratio: how many times huge pages are as fast: the median over the rounds.
        resident_bytes: way -> memory of the process.
        huge_page_bytes: way -> the part of it on huge pages.
        open_s: way -> seconds to open the bundle.
    """

    times_ms: dict[str, float]
    ratio: float
    resident_bytes: dict[str, int]
    huge_page_bytes: dict[str, int]
    open_s: dict[str, float]


def main() -> None:
    """Measure the selected networks, or all, on every engine with one thread and with two."""
    parser = command_line(__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", choices=NETWORKS, help=", ".join(NETWORKS))
    parser.add_argument("--trials", type=int, default=_TRIALS, help="fresh processes of each way")
    options = parser.parse_args()
    out, rows = output("huge_pages", options.out), []
    for network in options.networks or NETWORKS:
        bundle = prepared(network, "int8")
        for engine in installed():
            for threads in (1, 2):
                setting = Setting(engine, threads=threads)
                trials = [trial(bundle, setting, seed=seed) for seed in range(options.trials)]
                rows.append({"network": network, "engine": engine, "threads": threads} | summary(trials))
                print(rows[-1], flush=True)
    result = origin() | {"rows": rows}
    out.write(result, page(result))


def trial(bundle: Bundle, setting: Setting, *, seed: int) -> Trial:
    """Start one process for each way, in an order that alternates, and run them in turns."""
    names = list(WAYS) if seed % 2 else list(WAYS)[::-1]
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            with variables(WAYS[name]):
                workers[name] = stack.enter_context(MeasuringProcess(bundle.path, setting))
        for worker in workers.values():
            worker.warm_up()
        taken = interleave(list(workers.values()), rounds=_ROUNDS, seconds=_TURN_S, seed=seed)
        times = dict(zip(workers, map(medians_ms, taken), strict=True))
        memory = {name: worker.memory() for name, worker in workers.items()}
        return Trial(
            times_ms={name: float(np.median(times[name])) for name in WAYS},
            ratio=float(np.median(np.array(times[SMALL]) / np.array(times[HUGE]))),
            resident_bytes={name: memory[name].resident_bytes for name in WAYS},
            huge_page_bytes={name: memory[name].huge_page_bytes or 0 for name in WAYS},
            open_s={name: workers[name].opened.seconds for name in WAYS},
        )


@contextlib.contextmanager
def variables(wanted: dict[str, str]) -> Iterator[None]:
    """Set environment variables, which child processes inherit, in the block."""
    before = os.environ.copy()
    os.environ |= wanted
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def summary(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the medians over the trials, and the spread of the processes of each way."""
    found: dict[str, Any] = {"as_fast": plain(ratio_of([each.ratio for each in trials], [1.0] * len(trials)))}
    for name in WAYS:
        times = [each.times_ms[name] for each in trials]
        found |= {
            f"{name} ms": plain(Estimate(float(np.median(times)), min(times), max(times))),
            f"{name} resident_bytes": float(np.median([each.resident_bytes[name] for each in trials])),
            f"{name} huge_page_bytes": float(np.median([each.huge_page_bytes[name] for each in trials])),
            f"{name} open_s": float(np.median([each.open_s[name] for each in trials])),
        }
    return found


def page(result: dict[str, Any]) -> str:
    """Write the table."""
    text = (
        "Written by `python -m benchmarks.engines.huge_pages`. INT8 networks at 224 × 224 with random weights, one "
        "image per run. Each way ran in fresh processes, in turns: the median over the processes, with the fastest and "
        "the slowest one. Ratios with 95 % intervals over the trials."
    )
    header = (
        "network",
        "engine",
        "threads",
        f"{SMALL}, ms",
        f"{HUGE}, ms",
        "as fast",
        "on huge pages, MB",
        "memory, MB",
    )
    rows = [
        (
            row["network"],
            row["engine"],
            str(row["threads"]),
            interval(**row[f"{SMALL} ms"]),
            interval(**row[f"{HUGE} ms"]),
            ratio(**row["as_fast"]),
            f"{row[f'{HUGE} huge_page_bytes'] / 1e6:.0f}",
            f"{row[f'{SMALL} resident_bytes'] / 1e6:.0f}, {row[f'{HUGE} resident_bytes'] / 1e6:.0f}",
        )
        for row in result["rows"]
    ]
    return "\n".join(["# Huge pages for the weights", "", text, "", where(result) + ".", "", table(header, rows), ""])


if __name__ == "__main__":
    main()
