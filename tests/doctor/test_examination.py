"""Examination of engines in a child process that can crash."""

import signal
import sys
from pathlib import Path

import pytest

from edgecnn.doctor import examination
from edgecnn.doctor.examination import examine, examine_apart
from edgecnn.errors import OperatorMissing
from edgecnn.runtime.engines import four_bits
from edgecnn.runtime.engines.engine import PRECISIONS, SessionOptions
from edgecnn.runtime.engines.onnxruntime import OnnxRuntimeEngine, OnnxRuntimeSession
from edgecnn.runtime.engines.registry import get_engine, installed

ENGINES = pytest.mark.parametrize("engine", installed())


def child(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@ENGINES
def test_examines_each_device(engine: str):
    found = examine(engine)
    assert (found.engine, found.problem, found.runs) == (engine, None, True)
    assert [device.name for device in found.devices] == [device.name for device in get_engine(engine).devices()]
    for device in found.devices:
        assert tuple(trial.precision for trial in device.trials) == PRECISIONS
        for trial in device.trials:
            assert (trial.session is None) != (trial.refusal is None)
            assert trial.session is None or trial.session.precision == trial.precision


@ENGINES
def test_4_bit_layers_run_on_each_device(engine: str):
    for device in examine(engine).devices:
        assert (device.four_bits, device.four_bits_refusal) == (True if device.runs else None, None)


def test_reports_an_engine_without_4_bit_layers(monkeypatch: pytest.MonkeyPatch):
    class Earlier(OnnxRuntimeEngine):
        def open(self, model: Path | bytes, options: SessionOptions) -> OnnxRuntimeSession:
            if model == four_bits.GRAPH:
                raise OperatorMissing("ONNX Runtime 1.16.3 lacks the operator")
            return super().open(model, options)

    monkeypatch.setattr(examination, "get_engine", lambda name: Earlier())
    (cpu,) = (device for device in examine("onnxruntime").devices if device.name == "cpu")
    assert cpu.runs
    assert (cpu.four_bits, cpu.four_bits_refusal) == (False, "ONNX Runtime 1.16.3 lacks the operator")


@ENGINES
def test_a_child_reports_the_same(engine: str):
    assert examine_apart(engine) == examine(engine)


def test_onnx_runtime_defaults_to_fp32():
    (cpu,) = (device for device in examine("onnxruntime").devices if device.name == "cpu")
    assert cpu.default_precision == "fp32"


def test_openvino_supports_its_default_precision():
    (cpu,) = (device for device in examine("openvino").devices if device.name == "cpu")
    assert cpu.default_precision in [trial.precision for trial in cpu.trials if trial.session]


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGABRT", "SIGKILL"])
def test_reports_a_crashed_child(name: str):
    code = f"import os; os.kill(os.getpid(), {signal.Signals[name].value})"
    found = examine_apart("openvino", command=child(code))
    assert (found.engine, found.problem, found.runs) == ("openvino", f"crashed: signal {name}", False)


def test_reports_a_timeout():
    found = examine_apart("openvino", command=child("import time; time.sleep(60)"), timeout_s=0.5)
    assert found.problem == "no answer within 0.5 s"


def test_reports_the_last_line_of_stderr():
    found = examine_apart("openvino", command=child("raise RuntimeError('no\\nluck')"))
    assert found.problem == "failed with exit code 1: luck"
    assert (
        examine_apart("x", command=child("raise SystemExit(3)")).problem == "failed with exit code 3: no error output"
    )


@pytest.mark.parametrize("answer", ["", "{}", "a word", '{"engine": 1}'])
def test_reports_an_invalid_answer(answer: str):
    problem = examine_apart("openvino", command=child(f"print({answer!r})")).problem
    assert problem is not None
    assert problem.startswith("invalid output from the examination process: ")


def test_disables_telemetry_in_the_child(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    found = examine_apart("x", command=child("import os, sys; sys.exit(os.environ['ORT_DISABLE_TELEMETRY'])"))
    assert found.problem == "failed with exit code 1: 1"


def test_reports_a_failed_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "onnxruntime.py").write_text("print('noise'); raise ImportError('libsystem.so.1 is not there')\n")
    monkeypatch.syspath_prepend(tmp_path)
    problem = examine_apart("onnxruntime").problem
    assert problem == "the engine onnxruntime is installed but cannot be imported: libsystem.so.1 is not there"


def test_ignores_modules_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "onnxruntime.py").write_text("raise SystemExit('run')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert examine_apart("onnxruntime").problem is None
