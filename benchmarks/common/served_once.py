"""Start `edgecnn serve`, send one image file over HTTP, stop the server, and measure it."""

import json
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.proc import memory_mb, tree

_LIMIT_S = 600


@dataclass(frozen=True)
class Served:
    """A server, and one request to it.

    Attributes:
        ready_s: from the start until the server is ready.
        resident_mb: of all processes of the server, after the request.
        label: in the answer.
        exit_code: after SIGTERM.
    """

    ready_s: float
    resident_mb: float
    label: str
    exit_code: int


def served(command: Sequence[str], environment: Mapping[str, str], *, model: str, image: Path) -> Served:
    """Run a command that serves a model, and send it a PNG file.

    Raises:
        RuntimeError: the server did not become ready.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as state:
        own = {**environment, "XDG_STATE_HOME": state}
        with subprocess.Popen(command, env=own, stderr=subprocess.PIPE, text=True) as server:
            overdue = threading.Timer(_LIMIT_S, server.kill)
            overdue.start()
            try:
                address = _address(server)
                ready_s = time.monotonic() - begun
                label = _ask(f"{address}/v2/models/{model}/infer?classification=1", image.read_bytes())
                resident_mb = sum(memory_mb(pid)[0] for pid in tree(server.pid))
                server.terminate()
                server.communicate()
                return Served(ready_s, resident_mb, label, server.returncode)
            finally:
                overdue.cancel()
                server.kill()


def _address(server: "subprocess.Popen[str]") -> str:
    """Wait until the server is ready; return its URL."""
    assert server.stderr is not None
    said = []
    for line in server.stderr:
        said.append(line.strip())
        if " serves " in line:
            return line.split()[-1]
    raise RuntimeError(f"the server serves no model: {said[-3:]}")


def _ask(url: str, content: bytes) -> str:
    """Send an image; return the label of the best class."""
    request = urllib.request.Request(url, content, {"Content-Type": "image/png"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=_LIMIT_S) as answer:  # noqa: S310
        (best,) = json.load(answer)["outputs"][0]["data"]
    _, _, label = best.split(":", 2)
    return str(label)
