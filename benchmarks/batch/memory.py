"""The largest memory of a batch job, by the number of its images."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.batch.throughput import digit_files
from benchmarks.common.results import COMMITTED
from benchmarks.engines.bundles import RUNTIME
from edgecnn.bundle.store import open_bundle

COUNTS = (1_000, 100_000, 1_000_000)
_LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Starts a command from a small process: Linux counts the memory of the process that starts another one, too."""


def measure_memory() -> list[dict[str, Any]]:
    """Return the largest memory of `edgecnn batch` for each number of images in one flat folder."""
    rows = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory(dir=RUNTIME) as place:
            folder = Path(place) / "images"
            _link_digits(folder, count)
            job = [sys.executable, "-m", "edgecnn", "batch", str(COMMITTED), str(folder), "--out", f"{place}/out"]
            launched = [sys.executable, "-c", _LAUNCHER, *job]
            done = subprocess.run(launched, check=True, stdout=subprocess.PIPE, text=True)
        row = {"images": count, "peak_mib": int(done.stdout.splitlines()[-1]) / 1024}
        rows.append(row)
        print(row, done.stdout, flush=True)
    return rows


def _link_digits(folder: Path, count: int) -> None:
    """Make a folder with many names for a few images."""
    folder.mkdir()
    files = digit_files(open_bundle(COMMITTED), 32)
    for number in range(count):
        (folder / f"{number:07d}.png").symlink_to(files[number % len(files)])
