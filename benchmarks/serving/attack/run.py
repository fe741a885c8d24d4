"""Attack `edgecnn serve` with floods, one after the other, and check that it keeps its limits.

Each flood attacks a new server on the committed bundle, in a control group with a memory limit of 1 GiB where this
process may create one. Well-behaved clients measure it meanwhile. The limits and the table are described on the page,
`results/attack.md`. Exits with 1 if a limit does not hold. Everything runs on the loopback.

    python -m benchmarks.serving.attack.run [--only NAME ...] [--seconds 8]
    python -m benchmarks.serving.attack.run --server build/before --out build/before/attack
"""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common.results import REPOSITORY, command_line, origin, output
from benchmarks.serving.attack import victims
from benchmarks.serving.attack.confinement import LIMIT_BYTES
from benchmarks.serving.attack.floods import FLOODS, Flood
from benchmarks.serving.attack.inputs import write_inputs
from benchmarks.serving.attack.page import AFTER_S, MEMORY_AFTER, Row, page, summary
from benchmarks.serving.attack.serving import Attacked, attacked
from benchmarks.serving.attack.watching import settle

SECONDS = 8.0
_IDLE_S, _BEFORE_S, _LONGEST_S, _LONGEST_END_S = 1.0, 0.3, 180.0, 20.0
_RESTART = re.compile(r"worker .*restarted")


def run(floods: Sequence[Flood], seconds: float, checkout: Path = REPOSITORY) -> dict[str, Any]:
    """Attack a server with each flood, and return all figures.

    Args:
        floods: one after the other.
        seconds: of each attack.
        checkout: of the server.
    """
    write_inputs()
    rows = []
    has_group = False
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool, TemporaryDirectory() as folder:
        for flood in floods:
            with attacked(flood, checkout, Path(folder)) as found:
                has_group = found.group is not None
                rows.append(summary(_attack(flood, found, seconds, pool)))
            print(_line(rows[-1]), flush=True)
    return {"rows": rows, "seconds": seconds, "has_group": has_group}


def _attack(flood: Flood, found: Attacked, seconds: float, pool: ProcessPoolExecutor) -> Row:
    time.sleep(_IDLE_S)
    idle = found.watch.resident_bytes()
    over = found.log.with_suffix(".over")
    clients = pool.submit(victims.watch, found.target, over.exists)
    time.sleep(_BEFORE_S)
    begin = time.monotonic()
    try:
        counts = pool.submit(flood.attack, found.target, seconds).result(_LONGEST_S)
    finally:
        end = time.monotonic()
        over.touch()
    probes = [probe for probe in clients.result(_LONGEST_S) if begin <= probe.due <= end]
    after, after_s = settle(found.watch, MEMORY_AFTER * idle, AFTER_S)
    deaths = found.watch.deaths()
    end_s, exit_code = _end(found)
    return Row(
        name=flood.name,
        load=flood.load,
        attack=counts,
        bounds=flood.bounds,
        limit_bytes=LIMIT_BYTES,
        idle_bytes=idle,
        peak_bytes=found.watch.peak_bytes,
        group_peak_bytes=found.group.peak_bytes() if found.group else None,
        after_bytes=after,
        after_s=after_s,
        oom_kills=found.group.oom_kills() if found.group else 0,
        probes=probes,
        deaths=deaths,
        stops_worker=flood.stops_worker,
        logs_restart=bool(_RESTART.search(found.log.read_text(errors="replace"))),
        end_s=end_s,
        exit_code=exit_code,
    )


def _end(found: Attacked) -> tuple[float, int | None]:
    """Send SIGTERM; return the seconds to the end and the exit code, None if the server does not end."""
    start = time.monotonic()
    found.server.process.send_signal(signal.SIGTERM)
    try:
        code = found.server.process.wait(_LONGEST_END_S)
    except subprocess.TimeoutExpired:
        code = None
    return time.monotonic() - start, code


def _line(row: dict[str, Any]) -> str:
    """Return one line about a flood that has ended."""
    verdict = ", ".join(row["problems"]) or "holds"
    counts = ", ".join(f"{name}: {count:,.6g}" for name, count in row["attack"].items())
    return f"{row['name']}: {verdict} ({counts})"


def main() -> None:
    """Run the floods, and write the results."""
    names = [flood.name for flood in FLOODS]
    parser = command_line(__doc__)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"floods to run: {', '.join(names)}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="duration of each attack")
    parser.add_argument("--server", type=Path, default=REPOSITORY, metavar="CHECKOUT", help="the attacked checkout")
    options = parser.parse_args()
    chosen = [flood for flood in FLOODS if options.only is None or flood.name in options.only]
    missing = {flood.needs for flood in chosen if flood.needs and shutil.which(flood.needs) is None}
    for flood in chosen:
        if flood.needs in missing:
            print(f"{flood.name}: skipped, because {flood.needs} is not installed", flush=True)
    result = origin() | run([f for f in chosen if f.needs not in missing], options.seconds, options.server)
    written = page(result)
    output("attack", options.out).write(result, written)
    print(written)
    sys.exit(any(row["problems"] for row in result["rows"]))


if __name__ == "__main__":
    main()
