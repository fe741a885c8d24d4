"""Measure `edgecnn serve` with NVIDIA's perf_analyzer, as Triton's users do: HTTP and gRPC, synchronous and async.

Each way runs with 1, 4 and 16 concurrent requests on the committed bundle. The results are perf_analyzer's throughput
and latency, the parts of the latency from the server's statistics, and the number of failed requests from these
statistics. perf_analyzer runs on the server's cores. Writes the data and `results/perf_analyzer.md`; a failed way is
listed with the reason. gRPC is skipped if `edgecnn serve` has no `--grpc-port`.

    apt-get install libb64-0d
    python -m benchmarks.serving.perf_analyzer build    # the program, into build/perf_analyzer
    python -m benchmarks.serving.perf_analyzer          # on an idle machine
"""

import csv
import http.client
import io
import json
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.results import BUILD, COMMITTED, command_line, origin, output
from benchmarks.common.tables import cell, table, where
from benchmarks.serving.recipes import SERVING, edgecnn
from benchmarks.serving.server import Server, free_ports
from edgecnn.bundle.store import open_bundle
from edgecnn.pipeline.versions import versions

FOLDER = BUILD / "perf_analyzer"
PROGRAM, LIBRARY = "perf_analyzer", "libcudart.so.12"
WHEELS = {"tritonclient==2.48.0": PROGRAM, "nvidia-cuda-runtime-cu12==12.9.79": LIBRARY}
"""The packages with the program and its library; later versions lack the program. It needs no GPU."""

WAYS: dict[str, tuple[str, ...]] = {
    "HTTP, binary": (),
    "HTTP, binary, --async": ("--async",),
    "HTTP, JSON in": ("--input-tensor-format", "json"),
    "HTTP, JSON in and out": ("--input-tensor-format", "json", "--output-tensor-format", "json"),
    "HTTP, JSON in and out, --async": (
        *("--input-tensor-format", "json"),
        *("--output-tensor-format", "json", "--async"),
    ),
    "gRPC": (),
    "gRPC, --async": ("--async",),
}
CONCURRENCIES = (1, 4, 16)
_TRIALS = 10
_COLUMNS = {
    "per_s": "Inferences/Second",
    "p50_ms": "p50 latency",
    "p99_ms": "p99 latency",
    "network_ms": "Network+Server Send/Recv",
    "queue_ms": "Server Queue",
    "input_ms": "Server Compute Input",
    "infer_ms": "Server Compute Infer",
}
"""Names of the values in its CSV, which are in microseconds."""


def main() -> None:
    """Download the program, or measure."""
    parser = command_line(__doc__)
    parser.add_argument("part", nargs="?", choices=["build"], help="download the program instead")
    parser.add_argument("--interval-s", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--stability", type=int, default=15, help="permitted spread of three measurements in percent")
    options = parser.parse_args()
    if options.part == "build":
        build()
        return
    result = measure(options.interval_s, options.stability)
    output("perf_analyzer", options.out).write(result, page(result))


def build() -> None:
    """Extract the program and its library from their packages."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit("perf_analyzer is built for Linux on x86-64 only")
    for package, name in WHEELS.items():
        if (FOLDER / name).exists():
            continue
        folder = FOLDER / "wheels" / name
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--only-binary", ":all:", "--dest", folder, package], check=True)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (inside,) = (each for each in archive.namelist() if Path(each).name == name)
            (FOLDER / f"{name}.part").write_bytes(archive.read(inside))
        (FOLDER / f"{name}.part").chmod(0o755)
        (FOLDER / f"{name}.part").rename(FOLDER / name)
    print(version())


def version() -> str:
    """Return the program's version.

    Raises:
        SystemExit: it does not exist or does not start.
    """
    try:
        done = _run("--version", timeout_s=60)
    except FileNotFoundError:
        sys.exit(f"{FOLDER / PROGRAM} does not exist: run python -m benchmarks.serving.perf_analyzer build first")
    if done.returncode:
        sys.exit(f"perf_analyzer does not start: install libb64-0d? {done.stderr.strip()}")
    return (done.stdout + done.stderr).strip().removeprefix("Perf Analyzer Version ")


def measure(interval_s: float, stability: int) -> dict[str, Any]:
    """Run every way with every number of concurrent requests, on one server."""
    program, bundle = version(), open_bundle(COMMITTED)
    (grpc_port,) = free_ports(1)
    rows = []
    with Server(edgecnn(bundle.path, "--grpc-port", str(grpc_port)), SERVING / "logs" / "perf_analyzer.log") as server:
        for way, more in WAYS.items():
            over_grpc = way.startswith("gRPC")
            where = (
                "-i",
                "grpc" if over_grpc else "http",
                "-u",
                f"127.0.0.1:{grpc_port if over_grpc else server.port}",
            )
            for concurrency in CONCURRENCIES:
                load = ("-m", bundle.manifest.name, *where, *more, "--concurrency-range", str(concurrency))
                found = _one(load, interval_s, stability, server.port, bundle.manifest.name)
                print(f"{way}, {concurrency}: {found}", flush=True)
                rows.append({"name": way, "concurrency": concurrency} | found)
    return origin() | {
        "versions": versions() | {"perf_analyzer": program},
        "bundle": bundle.manifest.name,
        "interval_s": interval_s,
        "stability_percent": stability,
        "rows": rows,
    }


def _one(load: Sequence[str], interval_s: float, stability: int, port: int, model: str) -> dict[str, Any]:
    """Run one measurement; return its figures, or the reason for a failure."""
    report = FOLDER / "report.csv"
    report.unlink(missing_ok=True)
    before, limit_s = _counts(port, model), 60 + 3 * _TRIALS * interval_s
    try:
        done = _run(
            *load,
            *("--measurement-interval", str(round(1000 * interval_s)), "--max-trials", str(_TRIALS)),
            *("--stability-percentage", str(stability), "--percentile", "99", "-f", str(report)),
            timeout_s=limit_s,
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"no end within {limit_s:g} s"}
    succeeded, failed = (now - then for now, then in zip(_counts(port, model), before, strict=True))
    requests = {"requests": succeeded, "errors": failed}
    if done.returncode or not report.exists():
        last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-1:]
        return requests | {"problem": f"exit code {done.returncode}: {' '.join(last)}"}
    return requests | figures(report.read_text())


def figures(report: str) -> dict[str, float]:
    """Parse the only row of the CSV.

    Args:
        report: the file's text.
    """
    (line,) = csv.DictReader(io.StringIO(report))
    return {name: float(line[column]) / (1 if name == "per_s" else 1000) for name, column in _COLUMNS.items()}


def _counts(port: int, model: str) -> tuple[int, int]:
    """Return the numbers of succeeded and failed requests of a model, from the server's statistics."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/v2/models/{model}/stats")
        (found,) = json.loads(connection.getresponse().read())["model_stats"]
    finally:
        connection.close()
    seen = found["inference_stats"]
    return int(seen["success"]["count"]), int(seen["fail"]["count"])


def _run(*arguments: str, timeout_s: float) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"LD_LIBRARY_PATH": str(FOLDER), "no_proxy": "127.0.0.1"}
    return subprocess.run(
        [str(FOLDER / PROGRAM), *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout_s,
    )


def page(result: Mapping[str, Any]) -> str:
    """Write the table, and the failures below it."""
    rows = [each for each in result["rows"] if "problem" not in each]
    problems = [each for each in result["rows"] if "problem" in each]
    return "\n".join(
        [
            _TITLE,
            "",
            f"{result['bundle']}; measurements of {result['interval_s']:g} s, until three in a row differ by at most "
            f"{result['stability_percent']} %.",
            "",
            table(list(_HEADER.values()), [[cell(each[key]) for key in _HEADER] for each in rows]),
            *([""] if problems else []),
            *(
                f"- {each['name']}, {each['concurrency']} concurrent: no figures, {each['problem']}"
                for each in problems
            ),
            "",
            where(result),
            "",
        ]
    )


_TITLE = """# Serving under perf_analyzer

Written by `python -m benchmarks.serving.perf_analyzer`: NVIDIA's load generator, on the server's cores. Network, queue,
decoding and inference are its averages from the server's statistics. Errors are counted by the server."""

_HEADER = {
    "name": "way",
    "concurrency": "concurrent",
    "per_s": "inferences/s",
    "p50_ms": "median, ms",
    "p99_ms": "p99, ms",
    "network_ms": "network, ms",
    "queue_ms": "queue, ms",
    "input_ms": "decoding, ms",
    "infer_ms": "inference, ms",
    "errors": "errors",
}


if __name__ == "__main__":
    main()
