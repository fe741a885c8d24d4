"""Tests of `edgecnn doctor`."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from marks import emulated

from benchmarks.devices.emulation import HASWELL
from edgecnn.doctor import diagnosis
from edgecnn.doctor.diagnosis import Diagnosis, diagnose
from edgecnn.doctor.examination import Examination, ExaminedDevice, PrecisionTrial
from edgecnn.files.schema import read
from edgecnn.hints import install_command
from edgecnn.host.processor import processor
from edgecnn.host.resources import host_cores, usable_cores
from edgecnn.runtime.engines.engine import SessionInfo


def test_reports_processor_engines_and_hazards(edgecnn):
    result = edgecnn("doctor")
    assert (result.code, result.err) == (0, "")
    assert processor().name in result.out
    for word in (
        "instruction sets",
        f"{usable_cores()} of",
        "GiB",
        "huge pages",
        "GB/s",
        "onnxruntime 1.",
        "openvino 20",
        "full-range INT8",
    ):
        assert word in result.out
    assert "  4-bit linear layers: run on cpu\n" in result.out
    assert "emulated by" not in result.out


def test_names_an_engine_without_4_bit_layers(edgecnn, monkeypatch: pytest.MonkeyPatch):
    def earlier(engine: str) -> Examination:
        session = SessionInfo(engine, "1.16.3", "cpu", "fp32", 1)
        trials = (PrecisionTrial("fp32", session),)
        cpu = ExaminedDevice("cpu", "a CPU", "fp32", trials, four_bits=False, four_bits_refusal="it lacks the operator")
        return Examination(engine, version="1.16.3", devices=(cpu,), saturates=(), saturates_anyway=())

    monkeypatch.setattr(diagnosis, "diagnose", partial(diagnose, examine=earlier))
    result = edgecnn("doctor")
    assert "  4-bit linear layers: not supported\n    cpu: it lacks the operator\n" in result.out


@pytest.mark.slow
def test_json_contains_the_diagnosis(edgecnn):
    result = edgecnn("doctor", "--json")
    assert result.code == 0
    found = read(Diagnosis, json.loads(result.out))
    assert found.read_bytes_per_s is not None
    assert dataclasses.replace(found, read_bytes_per_s=None) == diagnose(read_bandwidth=lambda reads: None)


@pytest.mark.skipif(shutil.which("taskset") is None, reason="needs taskset")
@pytest.mark.slow
def test_engines_use_the_cores_of_the_affinity():
    core = str(min(os.sched_getaffinity(0)))
    done = subprocess.run(
        ["taskset", "-c", core, sys.executable, "-m", "edgecnn", "doctor", "--json"], capture_output=True, check=True
    )
    found = read(Diagnosis, json.loads(done.stdout))
    assert (found.machine.affinity, found.machine.usable_cores) == (1, 1)
    expected = {"one-core"} if host_cores() == 1 else {"affinity", "one-core"}
    assert {hazard.name for hazard in found.hazards} >= expected
    cpus = [device for engine in found.engines for device in engine.devices if device.name == "cpu"]
    assert [trial.session.threads for cpu in cpus for trial in cpu.trials if trial.session]
    assert all(trial.session.threads == 1 for cpu in cpus for trial in cpu.trials if trial.session)


def test_prints_the_result_without_an_engine(edgecnn, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(diagnosis, "installed", lambda: ())
    result = edgecnn("doctor")
    assert result.code == 1
    assert f"onnxruntime: not installed: {install_command('onnxruntime')}" in result.out
    assert result.error.startswith("error: no engine is installed: pip install")


def test_reports_engines_that_fail_to_import(edgecnn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("onnxruntime", "openvino"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('libsystem.so.1 is not there')\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = edgecnn("doctor", "--json")
    assert result.code == 1
    assert result.error.startswith("error: no engine runs a graph on this machine: onnxruntime: ")
    assert [engine["problem"] is None for engine in json.loads(result.out)["engines"]] == [False, False]


def test_survives_a_crashing_engine(edgecnn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "openvino.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = edgecnn("doctor")
    assert (result.code, result.err) == (0, "")
    (line,) = (line for line in result.out.splitlines() if line.startswith("openvino"))
    assert line.endswith(": crashed: signal SIGSEGV")
    assert "onnxruntime 1." in result.out


@emulated
def test_detects_saturation_on_an_emulated_cpu():
    done = HASWELL.run("-m", "edgecnn", "doctor", "--json")
    found = read(Diagnosis, json.loads(done.stdout))
    assert found.machine.emulator == "qemu-x86_64-static -cpu Haswell"
    assert [engine.saturates for engine in found.engines] == [("convolution", "matrix product")] * 2
    assert [bool(engine.saturates_anyway) for engine in found.engines] == [False, True]
    assert "emulated" in [hazard.name for hazard in found.hazards]
