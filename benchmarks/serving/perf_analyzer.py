"""`edgecnn serve` under NVIDIA's perf_analyzer, as Triton's users measure theirs: HTTP and gRPC, synchronous or not.

Each way of asking runs with 1, 4 and 16 requests under way, on the committed bundle. What perf_analyzer tells is kept:
throughput, latency, and how the server's own statistics divide it; whether any request failed, those statistics tell.
It runs on the same cores as the server. Writes the data and `results/perf_analyzer.md`; a way that did not end well
stands in them with the reason. gRPC is left out where `edgecnn serve` has no `--grpc-port`.

    apt-get install libb64-0d
    python -m benchmarks.serving.perf_analyzer build    # the program, into build/perf_analyzer
    python -m benchmarks.serving.perf_analyzer          # on a machine with nothing to do
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
"""What is taken out of which package: later ones have the program no more. It needs the library, and no GPU."""

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
"""Our names of what its CSV tells; it has microseconds."""


def main() -> None:
    """Fetch the program, or measure."""
    parser = command_line(__doc__)
    parser.add_argument("part", nargs="?", choices=["build"], help="fetch the program instead")
    parser.add_argument("--interval-s", type=float, default=2.0, help="of one of its measurements")
    parser.add_argument("--stability", type=int, default=15, help="by how many percent three in a row may differ")
    options = parser.parse_args()
    if options.part == "build":
        build()
        return
    result = measure(options.interval_s, options.stability)
    output("perf_analyzer", options.out).write(result, page(result))


def build() -> None:
    """Take the program and its library out of their packages."""
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
        SystemExit: it is not there, or does not start.
    """
    try:
        done = _run("--version", timeout_s=60)
    except FileNotFoundError:
        sys.exit(f"{FOLDER / PROGRAM} is not there: first python -m benchmarks.serving.perf_analyzer build")
    if done.returncode:
        sys.exit(f"perf_analyzer does not start (apt-get install libb64-0d?): {done.stderr.strip()}")
    return (done.stdout + done.stderr).strip().removeprefix("Perf Analyzer Version ")


def measure(interval_s: float, stability: int) -> dict[str, Any]:
    """Run every way with every number of requests under way, on one server."""
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
    """Run it once; return its figures, or why there are none."""
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
        return {"problem": f"it did not end within {limit_s:g} s"}
    succeeded, failed = (now - then for now, then in zip(_counts(port, model), before, strict=True))
    requests = {"requests": succeeded, "errors": failed}
    if done.returncode or not report.exists():
        last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-1:]
        return requests | {"problem": f"exit code {done.returncode}: {' '.join(last)}"}
    return requests | figures(report.read_text())


def figures(report: str) -> dict[str, float]:
    """Read the one row of its CSV.

    Args:
        report: the file's text.
    """
    (line,) = csv.DictReader(io.StringIO(report))
    return {name: float(line[column]) / (1 if name == "per_s" else 1000) for name, column in _COLUMNS.items()}


def _counts(port: int, model: str) -> tuple[int, int]:
    """Return how many requests of a model have succeeded and failed so far, as the server says."""
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
    """Write the table, and what did not end well below it."""
    rows = [each for each in result["rows"] if "problem" not in each]
    problems = [each for each in result["rows"] if "problem" in each]
    return "\n".join(
        [
            _TITLE,
            "",
            f"{result['bundle']}; measurements of {result['interval_s']:g} s, until three in a row differ by no more "
            f"than {result['stability_percent']} %.",
            "",
            table(list(_HEADER.values()), [[cell(each[key]) for key in _HEADER] for each in rows]),
            *([""] if problems else []),
            *(f"- {each['name']}, {each['concurrency']} under way: no figures, {each['problem']}" for each in problems),
            "",
            where(result),
            "",
        ]
    )


_TITLE = """# Serving under perf_analyzer

Written by `python -m benchmarks.serving.perf_analyzer`: NVIDIA's own load generator, on the same cores as the server.
Network, queue, decoding and inference are its averages, out of the server's statistics; errors are the server's
count."""

_HEADER = {
    "name": "way",
    "concurrency": "under way",
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
