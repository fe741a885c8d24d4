"""A candidate in its own process: its answers, and its failures."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from repository import COMMITTED

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineCrashed, EngineError
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.process import MeasuringProcess

ENGINES = pytest.mark.parametrize("engine", installed())


@ENGINES
def test_worker_runs_the_setting(engine: str):
    with MeasuringProcess(COMMITTED, Setting(engine, threads=1, batch=3)) as worker:
        assert worker.opened.session.engine == engine
        assert worker.opened.session.threads == 1
        assert worker.opened.seconds > 0
        assert worker.warm_up(1.0).runs > 1
        turn = worker.turn(0.05)
        assert turn.images == 3 * len(turn.times_ms)
        assert worker.replay().holds
        assert 10e6 < worker.memory().resident_bytes < 2e9


@pytest.mark.slow
def test_worker_runs_pytorch():
    with MeasuringProcess(
        COMMITTED, Setting("pytorch", threads=2), modules={"pytorch": "edgecnn.pipeline.measured"}
    ) as worker:
        assert worker.opened.session.engine == "pytorch"
        assert worker.turn(0.05).images > 0


def test_raises_if_the_engine_rejects_a_setting():
    with pytest.raises(EngineError, match="bf16"):
        MeasuringProcess(COMMITTED, Setting("onnxruntime", precision="bf16"))


def test_names_a_missing_bundle(tmp_path: Path):
    with pytest.raises(EngineError, match="nowhere"):
        MeasuringProcess(tmp_path / "nowhere", Setting("onnxruntime"))


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGABRT", "SIGKILL"])
def test_names_the_signal_of_a_crash(fake_openvino: Callable[[str], None], name: str):
    fake_openvino(f"import os, signal\nos.kill(os.getpid(), signal.{name})")
    with pytest.raises(EngineCrashed, match=f"openvino crashed: {name}"):
        MeasuringProcess(COMMITTED, Setting("openvino"))


def test_reports_the_exit_code(fake_openvino: Callable[[str], None]):
    fake_openvino("import os, sys\nprint('no licence', file=sys.stderr, flush=True)\nos._exit(42)")
    with pytest.raises(EngineCrashed, match="exit code 42, no licence"):
        MeasuringProcess(COMMITTED, Setting("openvino"))


def test_ends_an_engine_that_hangs(fake_openvino: Callable[[str], None]):
    fake_openvino("import time\ntime.sleep(600)")
    with pytest.raises(EngineCrashed, match="did not answer"):
        MeasuringProcess(COMMITTED, Setting("openvino"), timeout_s=1)


def test_ignores_output_of_the_engine(fake_openvino: Callable[[str], None]):
    fake_openvino("import os\nprint('hello')\nos.write(1, b'hello\\n')\nraise ImportError('broken')")
    with pytest.raises(EngineError, match="broken"):
        MeasuringProcess(COMMITTED, Setting("openvino"))


@pytest.mark.parametrize("answer", ["{half", "[1, 2]", "\\xff\\xfe", "{}"])
def test_rejects_an_invalid_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str):
    (tmp_path / "babbler.py").write_text(f"import sys\nsys.stdout.buffer.write(b'{answer}\\n')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(EngineCrashed, match="sent an invalid answer"):
        MeasuringProcess(COMMITTED, Setting("x"), modules={"x": "babbler"})


@pytest.mark.slow
def test_ends_a_child_that_closed_its_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sitter.py").write_text("import os, time\nos.close(1)\ntime.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(EngineCrashed, match="hung while exiting"):
        MeasuringProcess(COMMITTED, Setting("x"), modules={"x": "sitter"})


def test_ignores_modules_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "queue.py").write_text("raise RuntimeError('not the library')")
    monkeypatch.chdir(tmp_path)
    with MeasuringProcess(COMMITTED, Setting("onnxruntime")) as worker:
        assert worker.turn(0.01).images > 0


def test_candidate_reports_a_killed_worker(committed: Bundle):
    with Candidate(committed, Setting("onnxruntime")) as candidate:
        assert candidate.open(warm_up_s=0.2)
        assert candidate._worker is not None
        candidate._worker._process.send_signal(signal.SIGKILL)
        assert candidate.turn(0.1) is None
        assert candidate.failure == "onnxruntime crashed: SIGKILL"
        assert candidate.turn(0.1) is None
        assert not candidate.open()


def test_worker_ends_with_its_parent():
    code = f"""
import os, signal
from pathlib import Path
from edgecnn.tuning.measuring.process import MeasuringProcess
from edgecnn.runtime.setting import Setting
worker = MeasuringProcess(Path({str(COMMITTED)!r}), Setting("onnxruntime"))
print(worker._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    child = Path("/proc") / done.stdout.strip()
    for _ in range(100):
        if not child.exists():
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlived its parent")
