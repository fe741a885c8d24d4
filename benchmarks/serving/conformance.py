"""Run `oip-conformance` against edgecnn, NVIDIA Triton and MLServer, and write the differences.

All servers run the same graph on ONNX Runtime: Triton with its Python backend, MLServer with a custom model. Triton's
binary is in the package `nvidia-pytriton`. A server that exits is restarted, as a container would be; the case at which
it exited has failed. Times are not measured. Writes the data and `results/conformance.md`.

    python -m benchmarks.serving.conformance [build]
"""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common.results import COMMITTED, REPOSITORY, command_line, output
from benchmarks.serving.conformance_page import page
from benchmarks.serving.recipes import PEERS, SERVING, Recipe, build, edgecnn, peer, site_packages, versions_of
from benchmarks.serving.server import Server, free_ports
from edgecnn import __version__
from edgecnn.bundle.manifest import utc_now
from edgecnn.files.schema import plain
from oip_conformance.connection import Client, parse_url
from oip_conformance.discovery import discover
from oip_conformance.suite import Report, run

_LOGS = SERVING / "logs"
_TRITON = SERVING / "triton"
_TIMEOUT_S = 20.0


def main() -> None:
    """Test all three servers and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("what", nargs="?", choices=("build", "run"), default="run")
    options = parser.parse_args()
    if options.what == "build":
        build(("mlserver", "triton"))
        return
    reports: dict[str, Report] = {}
    for name, recipe in _servers().items():
        with _kept_alive(recipe, _LOGS / f"conformance {name}.log") as port:
            client = Client(parse_url(f"http://127.0.0.1:{port}"), timeout_s=_TIMEOUT_S)
            reports[name] = run(discover(client))
        print(name, reports[name].server, *(f"{each.level}: {each.failed} failed" for each in reports[name].totals))
    result: dict[str, Any] = {
        "measured_at": utc_now(),
        "versions": {"edgecnn": {"edgecnn": __version__}}
        | {name: versions_of(name) for name in ("triton", "mlserver")},
        "reports": {name: plain(report) for name, report in reports.items()},
    }
    result = json.loads(json.dumps(result).replace(str(REPOSITORY), "…"))  # tracebacks contain paths
    output("conformance", options.out).write(result, page(result))


def _servers() -> dict[str, Recipe]:
    mlserver = peer("mlserver", COMMITTED, threads=1)
    models = str(PEERS / "mlserver_conformance")
    return {
        "edgecnn": edgecnn(COMMITTED),
        "triton": _triton(),
        "mlserver": Recipe((*mlserver.command[:-1], models), mlserver.ready_path, mlserver.environment),
    }


def _triton() -> Recipe:
    """Write Triton's files (backends with the stub of this Python, a model repository); return how it starts."""
    packages = site_packages("triton")
    server = packages / "pytriton" / "tritonserver"
    shutil.rmtree(_TRITON, ignore_errors=True)
    shutil.copytree(server / "backends", _TRITON / "backends")
    python = packages.parent.name.removeprefix("python")
    shutil.copy2(
        server / "python_backend_stubs" / python / "triton_python_backend_stub", _TRITON / "backends" / "python"
    )
    shutil.copytree(PEERS / "triton_conformance", _TRITON / "models" / "classifier")
    shutil.copy2(PEERS / "onnx_model.py", _TRITON / "models" / "classifier" / "1")
    options = {
        "--model-repository": str(_TRITON / "models"),
        "--backend-directory": str(_TRITON / "backends"),
        "--http-address": "127.0.0.1",
        "--http-port": "{port}",
        "--allow-grpc": "false",
        "--allow-metrics": "false",
    }
    environment = {
        "PATH": f"{packages.parents[2] / 'bin'}{os.pathsep}{os.environ['PATH']}",  # the backend uses this Python
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        "SERVING_MODEL": str(COMMITTED / "model.onnx"),
        "SERVING_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    command = (str(server / "bin" / "tritonserver"), *(f"{name}={value}" for name, value in options.items()))
    return Recipe(command, "/v2/health/ready", environment)


@contextlib.contextmanager
def _kept_alive(recipe: Recipe, log: Path) -> Iterator[int]:
    """Run a server on one port and restart it whenever it exits; yields the port."""
    (port,) = free_ports(1)
    fixed = Recipe(
        tuple(each.replace("{port}", str(port)) for each in recipe.command),
        recipe.ready_path,
        {name: value.replace("{port}", str(port)) for name, value in recipe.environment.items()},
    )
    running = [Server(fixed, log, port=port)]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.1):
            if running[0].process.poll() is not None:
                running[0].close()
                running[0] = Server(fixed, log.with_suffix(".again.log"), port=port)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield port
    finally:
        is_over.set()
        watcher.join()
        running[0].close()


if __name__ == "__main__":
    main()
