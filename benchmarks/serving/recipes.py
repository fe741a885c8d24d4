"""The commands of the servers: edgecnn, and the peers in virtual environments in `build/serving`.

The peers use the same ONNX Runtime as edgecnn, with telemetry switched off.
"""

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.common.results import BUILD

SERVING = BUILD / "serving"
PEERS = Path(__file__).parent / "peers"
PACKAGES = {
    "uvicorn": ("uvicorn", "httptools", "uvloop"),
    "granian": ("granian", "uvloop"),
    "mlserver": ("mlserver==1.7.1", "Pillow"),
    "litserve": ("litserve", "Pillow"),
    "bentoml": ("bentoml", "Pillow"),
    "triton": ("nvidia-pytriton==0.7.0", "numpy<2"),  # its stub is built for NumPy 1
}
"""Packages of each peer, without ONNX Runtime and NumPy."""

RACED = ("uvicorn", "granian", "mlserver", "litserve", "bentoml")
"""The peers that `compare.py` measures."""

_QUIET = {
    "ORT_DISABLE_TELEMETRY": "1",
    "BENTOML_DO_NOT_TRACK": "true",
    "DO_NOT_TRACK": "1",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONDONTWRITEBYTECODE": "1",  # their scripts are in this repository
    "BENTOML_HOME": str(SERVING / "bentoml"),
}


def build(names: Sequence[str] = RACED) -> None:
    """Create the missing environments."""
    ours = importlib.metadata.version("onnxruntime")
    for name in names:
        folder = SERVING / "venvs" / name
        if not (folder / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, f"onnxruntime=={ours}", "numpy", *PACKAGES[name]], check=True)
            (folder / "complete").touch()
        print(name, versions_of(name), flush=True)


def versions_of(name: str) -> dict[str, str]:
    """Return the versions of a peer's packages; empty without its environment."""
    packages = [re.split("[=<>]", each)[0].lower() for each in PACKAGES[name]]
    found = importlib.metadata.distributions(path=[str(each) for each in _site_packages(name)])
    return {each.name.lower(): each.version for each in found if each.name.lower() in (*packages, "onnxruntime")}


def site_packages(name: str) -> Path:
    """Return the folder of a peer's packages; its environment must exist."""
    (found,) = _site_packages(name)
    return found


def _site_packages(name: str) -> list[Path]:
    return sorted((SERVING / "venvs" / name / "lib").glob("python*/site-packages"))


@dataclass(frozen=True)
class Recipe:
    """How to start a server; `{port}` is replaced by its port in commands and in the environment.

    Attributes:
        command: its arguments.
        ready_path: that answers 200 once the server is ready.
        environment: additional variables.
        certificate: for localhost, of a server with TLS; it is its own authority.
    """

    command: tuple[str, ...]
    ready_path: str
    environment: dict[str, str] = field(default_factory=dict)
    certificate: Path | None = None


def edgecnn(bundle: Path, *options: str) -> Recipe:
    """Return the command of edgecnn on one bundle."""
    command = (sys.executable, "-m", "edgecnn", "serve", str(bundle), "--port", "{port}", *options)
    return Recipe(command, "/v2/health/ready")


def peer(name: str, bundle: Path, *, threads: int) -> Recipe:
    """Return the command of a peer on the graph of one bundle."""
    command, ready_path = _COMMANDS[name]
    program = str(SERVING / "venvs" / name.partition(" ")[0] / "bin" / command[0])
    environment = {
        "SERVING_MODEL": str(bundle / "model.onnx"),
        "SERVING_THREADS": str(threads),
        "PYTHONPATH": str(PEERS),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": "{port}",
        "MLSERVER_GRPC_PORT": "{other port}",
        "MLSERVER_METRICS_PORT": "{third port}",
    }
    return Recipe((program, *command[1:]), ready_path, environment | _QUIET)


_COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "uvicorn": (
        (
            *("uvicorn", "bare_asgi:app", "--port", "{port}", "--workers", "1", "--http", "httptools"),
            *("--loop", "uvloop", "--lifespan", "off", "--no-access-log", "--log-level", "warning"),
        ),
        "/",
    ),
    "granian RSGI": (
        (
            *("granian", "bare_rsgi:app", "--interface", "rsgi", "--port", "{port}", "--workers", "1"),
            *("--host", "127.0.0.1", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"),
        ),
        "/",
    ),
    "granian ASGI": (
        (
            *("granian", "bare_asgi:app", "--interface", "asginl", "--port", "{port}", "--workers", "1"),
            *("--host", "127.0.0.1", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"),
        ),
        "/",
    ),
    "mlserver": (("mlserver", "start", str(PEERS / "mlserver_models")), "/v2/health/ready"),
    "litserve": (("python", "litserve_server.py", "{port}"), "/health"),
    "bentoml": (
        ("bentoml", "serve", "bentoml_service:Classifier", "--host", "127.0.0.1", "--port", "{port}"),
        "/readyz",
    ),
}
