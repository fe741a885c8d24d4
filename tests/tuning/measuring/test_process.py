"""A candidate in a process of its own: what it tells, and how it may end."""

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
from edgecnn.runtime.engines.backends import installed
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.process import Worker

ENGINES = pytest.mark.parametrize("engine", installed())


@ENGINES
def test_a_worker_runs_what_it_was_told_to(engine: str):
    with Worker(COMMITTED, Setting(engine, threads=1, batch=3)) as worker:
        assert worker.opened.session.engine == engine
        assert worker.opened.session.threads == 1
        assert worker.opened.seconds > 0
        assert worker.warm_up(1.0).runs > 1
        turn = worker.turn(0.05)
        assert turn.images == 3 * len(turn.times_ms)
        assert worker.replay().holds
        assert 10e6 < worker.resident_bytes() < 2e9


@pytest.mark.slow
def test_the_pytorch_reference_is_a_worker_too():
    with Worker(COMMITTED, Setting("pytorch", threads=2), modules={"pytorch": "edgecnn.pipeline.measured"}) as worker:
        assert worker.opened.session.engine == "pytorch"
        assert worker.turn(0.05).images > 0


def test_a_setting_that_the_engine_refuses_is_an_engine_error():
    with pytest.raises(EngineError, match="bf16"):
        Worker(COMMITTED, Setting("onnxruntime", precision="bf16"))


def test_a_bundle_that_is_not_there_is_told_by_its_name(tmp_path: Path):
    with pytest.raises(EngineError, match="nowhere"):
        Worker(tmp_path / "nowhere", Setting("onnxruntime"))


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGABRT", "SIGKILL"])
def test_an_engine_that_crashes_is_named_with_its_signal(fake_openvino: Callable[[str], None], name: str):
    fake_openvino(f"import os, signal\nos.kill(os.getpid(), signal.{name})")
    with pytest.raises(EngineCrashed, match=f"openvino crashed: {name}"):
        Worker(COMMITTED, Setting("openvino"))


def test_an_engine_that_ends_the_process_is_told(fake_openvino: Callable[[str], None]):
    fake_openvino("import os, sys\nprint('no licence', file=sys.stderr, flush=True)\nos._exit(42)")
    with pytest.raises(EngineCrashed, match="exit code 42, no licence"):
        Worker(COMMITTED, Setting("openvino"))


def test_an_engine_that_hangs_is_ended(fake_openvino: Callable[[str], None]):
    fake_openvino("import time\ntime.sleep(600)")
    with pytest.raises(EngineCrashed, match="did not answer"):
        Worker(COMMITTED, Setting("openvino"), timeout_s=1)


def test_what_an_engine_prints_disturbs_nobody(fake_openvino: Callable[[str], None]):
    fake_openvino("import os\nprint('hello')\nos.write(1, b'hello\\n')\nraise ImportError('broken')")
    with pytest.raises(EngineError, match="broken"):
        Worker(COMMITTED, Setting("openvino"))


@pytest.mark.parametrize("answer", ["{half", "[1, 2]", "\\xff\\xfe", "{}"])
def test_an_answer_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str):
    (tmp_path / "babbler.py").write_text(f"import sys\nsys.stdout.buffer.write(b'{answer}\\n')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(EngineCrashed, match="cannot be read"):
        Worker(COMMITTED, Setting("x"), modules={"x": "babbler"})


@pytest.mark.slow
def test_a_child_that_closes_its_pipe_and_stays_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sitter.py").write_text("import os, time\nos.close(1)\ntime.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(EngineCrashed, match="hung while it ended"):
        Worker(COMMITTED, Setting("x"), modules={"x": "sitter"})


def test_a_namesake_in_the_working_directory_is_not_taken_for_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "queue.py").write_text("raise RuntimeError('not the library')")
    monkeypatch.chdir(tmp_path)
    with Worker(COMMITTED, Setting("onnxruntime")) as worker:
        assert worker.turn(0.01).images > 0


def test_a_worker_that_dies_in_a_turn_fails_and_the_candidate_says_how(committed: Bundle):
    with Candidate(committed, Setting("onnxruntime")) as candidate:
        assert candidate.open(warm_up_s=0.2)
        assert candidate._worker is not None
        candidate._worker._process.send_signal(signal.SIGKILL)
        assert candidate.turn(0.1) is None
        assert candidate.failure == "onnxruntime crashed: SIGKILL"
        assert candidate.turn(0.1) is None
        assert not candidate.open()


def test_a_worker_ends_when_its_parent_is_killed():
    code = f"""
import os, signal
from pathlib import Path
from edgecnn.tuning.measuring.process import Worker
from edgecnn.runtime.setting import Setting
worker = Worker(Path({str(COMMITTED)!r}), Setting("onnxruntime"))
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
