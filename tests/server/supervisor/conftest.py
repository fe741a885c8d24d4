"""Supervisors with fake workers."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from repository import COMMITTED, REPOSITORY
from supervised import QUICK, Server, has_exited


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start a supervisor whose worker runs some code."""
    monkeypatch.setenv("NOTES", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(REPOSITORY)]))
    started: list[Server] = []

    def start(
        worker: str, *, restarts: str = QUICK, log: Path | None = None, terminal: str = "", **options: object
    ) -> Server:
        (tmp_path / "fake_worker.py").write_text(worker)
        chosen = {"port": 0, "grace_s": 10.0} | options
        # The test process may ignore SIGHUP, and the server would inherit that.
        code = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        if terminal:  # the first one that the leader of a session opens is its controlling terminal
            code += f"import os\nos.setsid()\nos.open({terminal!r}, os.O_RDWR)\n"
        code += "import sys\nfrom pathlib import Path\nfrom edgecnn.server.options import ServeOptions\n"
        code += "from edgecnn.server.supervisor.supervisor import supervise\n"
        code += "from edgecnn.server.supervisor.worker_process import Restarts\n"
        code += "from edgecnn.server.models.catalogue import Source\n"
        code += f"sys.exit(supervise([Source('lenet', Path({str(COMMITTED)!r}))], ServeOptions(**{chosen!r}),"
        code += f" module='fake_worker', restarts={restarts}))"
        log = log or tmp_path / f"log-{len(started)}"
        with log.open("w") as file:
            process = subprocess.Popen([sys.executable, "-c", code], stdout=file, stderr=file, text=True)
        started.append(Server(process, tmp_path, log))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()
        for pid in server.pids():
            assert has_exited(pid), f"worker {pid} still runs"
        if server.log.is_file():
            assert "Traceback" not in server.log.read_text(), server.log.read_text()
