"""Cost of a device installation: size of packages, start of the command line, first prediction, and memory.

Builds the wheel, installs `edgecnn[onnxruntime,serve]` with pip into an empty environment, and measures there. Whole
processes are timed in turns, so that drift of the machine affects all equally. Writes the data and
`results/footprint.md`; exits with 1 if a limit is exceeded.

    python -m benchmarks.devices.footprint
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.common.results import COMMITTED, DIGIT, REPOSITORY, command_line, origin, output
from benchmarks.common.served_once import Served, served
from benchmarks.common.tables import interval, table, where

ROUNDS = 15
MIB = 2**20
_TITLE = """# Size of a device installation

Written by `python -m benchmarks.devices.footprint`: the wheel with ONNX Runtime and the server, installed with pip into
an empty environment. Packages below 0.1 MiB are omitted. Times are medians of whole processes, measured in turns."""

BOUNDS = {"packages_mib": 200.0, "served_mb": 150.0, "first_prediction_s": 1.0}
"""Upper limits; the time is the median."""

FIRST = "first prediction of a cold process"

FIRST_PREDICTION = f"""
import edgecnn, sys
classifier = edgecnn.load({str(COMMITTED)!r})
classifier.predict(classifier.bundle.self_test().encoded[0].content)
assert not {{"torch", "onnx"}} & set(sys.modules)
"""


def main() -> None:
    """Measure and write the result."""
    out = output("footprint", command_line(__doc__).parse_args().out)
    with tempfile.TemporaryDirectory() as folder:
        python = install(Path(folder))
        (site,) = (Path(folder) / "env").glob("lib/python*/site-packages")
        result: dict[str, Any] = origin() | {
            "versions": {"python": platform.python_version()},
            "packages_mib": {name: round(size / MIB, 1) for name, size in sizes(site).items()},
            "total_mib": round(sum(sizes(site).values()) / MIB, 1),
            "bytecode_mib": round(bytecode(site) / MIB, 1),
            "seconds": times(python),
            "peak_rss_mib_first_prediction": peak_rss(python),
            "served_mb": round(serving(python).resident_mb, 1),
        }
    result["help_over_bare_python_s"] = round(
        result["seconds"]["edgecnn --help"]["median"] - result["seconds"]["python -c pass"]["median"], 3
    )
    out.write(result, page(result))
    print(page(result))
    found = {
        "packages_mib": result["total_mib"],
        "served_mb": result["served_mb"],
        "first_prediction_s": result["seconds"][FIRST]["median"],
    }
    passed = [f"{name} is {found[name]}, limit {bound}" for name, bound in BOUNDS.items() if found[name] > bound]
    if passed:
        sys.exit(f"error: {'; '.join(passed)}")


def install(folder: Path) -> Path:
    """Install the wheel with one engine and the server into an empty environment; return its interpreter."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    pip = [str(folder / "env/bin/pip"), "install", "-q", "--disable-pip-version-check", f"{wheel}[onnxruntime,serve]"]
    subprocess.run(pip, check=True)
    return folder / "env" / "bin" / "python"


def sizes(site: Path) -> dict[str, int]:
    """Return the bytes of each top-level entry of `site-packages` as in its wheel, without small ones.

    Bytecode is not counted, because a device does not need it (`pip install --no-compile`).
    """
    found = {
        entry.name: sum(file.stat().st_size for file in files if file.suffix != ".pyc") for entry, files in parts(site)
    }
    return {name: size for name, size in found.items() if size > MIB / 10}


def bytecode(site: Path) -> int:
    """Return the bytes of the bytecode."""
    return sum(file.stat().st_size for _, files in parts(site) for file in files if file.suffix == ".pyc")


def parts(site: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield the top-level entries and their files, without pip and its own dependencies."""
    for entry in sorted(site.iterdir()):
        if entry.name.split("-")[0] in ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils"):
            continue
        yield entry, [entry] if entry.is_file() else [path for path in entry.rglob("*") if path.is_file()]


def times(python: Path) -> dict[str, dict[str, float]]:
    """Time whole processes, in turns."""
    commands = {
        "python -c pass": ["-c", "pass"],
        "edgecnn --help": ["-m", "edgecnn", "--help"],
        FIRST: ["-c", FIRST_PREDICTION],
        "edgecnn predict": ["-m", "edgecnn", "predict", str(COMMITTED), str(DIGIT)],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(ROUNDS + 1):
        for name, arguments in commands.items():
            start = time.perf_counter()
            subprocess.run([str(python), *arguments], check=True, capture_output=True)
            if turn:
                taken[name].append(time.perf_counter() - start)
    return {
        name: {
            "median": round(statistics.median(values), 3),
            "lowest": round(min(values), 3),
            "highest": round(max(values), 3),
            "runs": len(values),
        }
        for name, values in taken.items()
    }


def peak_rss(python: Path) -> float:
    """Return the peak resident memory of a process that loads the bundle and predicts once, in MiB."""
    code = f"import resource\n{FIRST_PREDICTION}\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    return round(int(done.stdout) / 1024, 1)  # Linux counts in KiB


def serving(python: Path) -> Served:
    """Serve the bundle and send one request."""
    command = [str(python), "-m", "edgecnn", "serve", str(COMMITTED), "--port", "0"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return served(command, environment, model=COMMITTED.name, image=DIGIT)


def page(result: Mapping[str, Any]) -> str:
    """Write the figures with their limits, the times, and the size of each package."""
    seconds, rounds = result["seconds"], "{:.3f}".format
    figures = [
        ["packages, MiB", f"{result['total_mib']}", f"{BOUNDS['packages_mib']:g}"],
        ["bytecode written by pip, MiB", f"{result['bytecode_mib']}", ""],
        [
            "first prediction of a cold process, s",
            rounds(seconds[FIRST]["median"]),
            f"{BOUNDS['first_prediction_s']:g}",
        ],
        ["peak memory of that process, MiB", f"{result['peak_rss_mib_first_prediction']}", ""],
        ["a server of LeNet after one request, MB", f"{result['served_mb']}", f"{BOUNDS['served_mb']:g}"],
        ["`edgecnn --help` beyond a bare Python, s", rounds(result["help_over_bare_python_s"]), ""],
    ]
    times = [
        [name, interval(each["median"], each["lowest"], each["highest"], show=rounds), str(each["runs"])]
        for name, each in seconds.items()
    ]
    packages = [[name, f"{size}"] for name, size in result["packages_mib"].items()]
    return "\n".join(
        [
            _TITLE,
            "",
            table(["figure", "measured", "allowed"], figures),
            "",
            table(["process", "seconds [lowest, highest]", "runs"], times),
            "",
            table(["package", "MiB"], packages),
            "",
            where(result),
            "",
        ]
    )


if __name__ == "__main__":
    main()
