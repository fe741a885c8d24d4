"""An engine is examined by running it, in a process of its own that may die."""

import signal
import sys
from pathlib import Path

import pytest

from edgecnn.doctor.examination import examine, examine_apart
from edgecnn.runtime.engines.backend import PRECISIONS
from edgecnn.runtime.engines.backends import get_backend, installed

ENGINES = pytest.mark.parametrize("engine", installed())


def child(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@ENGINES
def test_an_engine_tells_what_runs_on_each_of_its_devices(engine: str):
    found = examine(engine)
    assert (found.engine, found.problem, found.runs) == (engine, None, True)
    assert [device.name for device in found.devices] == [device.name for device in get_backend(engine).devices()]
    for device in found.devices:
        assert tuple(trial.precision for trial in device.trials) == PRECISIONS
        for trial in device.trials:
            assert (trial.session is None) != (trial.refusal is None)
            assert trial.session is None or trial.session.precision == trial.precision


@ENGINES
def test_a_child_finds_what_this_process_finds(engine: str):
    assert examine_apart(engine) == examine(engine)


def test_onnx_runtime_computes_in_fp32_when_nobody_asks():
    (cpu,) = (device for device in examine("onnxruntime").devices if device.name == "cpu")
    assert cpu.default_precision == "fp32"


def test_the_default_of_openvino_is_one_that_it_also_opens_when_asked():
    (cpu,) = (device for device in examine("openvino").devices if device.name == "cpu")
    assert cpu.default_precision in [trial.precision for trial in cpu.trials if trial.session]


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGABRT", "SIGKILL"])
def test_a_child_that_dies_is_a_finding(name: str):
    code = f"import os; os.kill(os.getpid(), {signal.Signals[name].value})"
    found = examine_apart("openvino", command=child(code))
    assert (found.engine, found.problem, found.runs) == ("openvino", f"crashed: signal {name}", False)


def test_a_child_that_hangs_is_a_finding():
    found = examine_apart("openvino", command=child("import time; time.sleep(60)"), timeout_s=0.5)
    assert found.problem == "gave no answer within 0.5 s"


def test_a_child_that_fails_says_its_last_line():
    found = examine_apart("openvino", command=child("raise RuntimeError('no\\nluck')"))
    assert found.problem == "failed with exit code 1: luck"
    assert (
        examine_apart("x", command=child("raise SystemExit(3)")).problem == "failed with exit code 3: it said nothing"
    )


@pytest.mark.parametrize("answer", ["", "{}", "a word", '{"engine": 1}'])
def test_an_answer_that_cannot_be_read_is_a_finding(answer: str):
    problem = examine_apart("openvino", command=child(f"print({answer!r})")).problem
    assert problem is not None
    assert problem.startswith("answered what cannot be read: ")


def test_telemetry_is_off_in_the_child_whatever_the_user_has_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    found = examine_apart("x", command=child("import os, sys; sys.exit(os.environ['ORT_DISABLE_TELEMETRY'])"))
    assert found.problem == "failed with exit code 1: 1"


def test_an_engine_with_a_broken_import_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "onnxruntime.py").write_text("print('noise'); raise ImportError('libsystem.so.1 is not there')\n")
    monkeypatch.syspath_prepend(tmp_path)
    problem = examine_apart("onnxruntime").problem
    assert problem == "the engine onnxruntime is installed and cannot be imported: libsystem.so.1 is not there"


def test_a_namesake_of_an_engine_in_the_working_directory_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "onnxruntime.py").write_text("raise SystemExit('run')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert examine_apart("onnxruntime").problem is None
