"""Run one turn of a server under wrk: one thread, and connections that send the next request after each answer."""

import json
import subprocess
from pathlib import Path

from benchmarks.serving.page import Load
from benchmarks.serving.requests import Request
from edgecnn.tuning.measuring.turn import Turn

CONNECTIONS = 16
_WARM_S = 1
_TIMEOUT_S = 30

_SCRIPT = """
wrk.method = "POST"
local file = io.open({body}, "rb")
wrk.body = file:read("*a")
file:close()
{headers}
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "refused": %d, "broken": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


class Wrk:
    """One request, sent repeatedly, as a `Runner`.

    Attributes:
        loads: the result of each turn.
    """

    def __init__(self, request: Request, port: int, folder: Path, *, connections: int = CONNECTIONS) -> None:
        """Write the script and the body to a folder, in files named after the port and the path."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{port}-{abs(hash((request.path, request.body))):x}"
        body, self._script = folder / f"{name}.body", folder / f"{name}.lua"
        body.write_bytes(request.body)
        self._script.write_text(script(request, body))
        self._url = f"http://127.0.0.1:{port}{request.path}"
        self._connections = connections
        self.loads: list[Load] = []

    def turn(self, seconds: float) -> Turn:
        """See `Runner`; one second before the turn is not counted."""
        self.run(_WARM_S)
        load = self.run(seconds)
        self.loads.append(load)
        return Turn((load.p50_ms,), load.requests - load.refused, load.seconds)

    def run(self, seconds: float) -> Load:
        """Load the server for whole seconds, at least one."""
        command = ["wrk", "-t1", f"-c{self._connections}", f"-d{max(1, round(seconds))}s", f"--timeout={_TIMEOUT_S}s"]
        command += ["--latency", "-s", str(self._script), self._url]
        printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
        (line,) = (line for line in printed.splitlines() if line.startswith("RESULT "))
        return Load(**json.loads(line.removeprefix("RESULT ")))


def script(request: Request, body: Path) -> str:
    """Write wrk's script for a request whose body is in a file."""
    headers = "\n".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in request.headers.items()
    )
    return _SCRIPT.format(body=json.dumps(str(body)), headers=headers)
