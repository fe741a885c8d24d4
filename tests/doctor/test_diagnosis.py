"""The whole diagnosis: facts of a machine that need not be this one, engines that need not work."""

import sys
from pathlib import Path

import pytest

from edgecnn.doctor import diagnosis as module
from edgecnn.doctor.diagnosis import diagnose, require_engine
from edgecnn.doctor.examination import Examination, examine_apart
from edgecnn.errors import EngineError, EngineMissing


def crash_openvino(engine: str) -> Examination:
    """Examine engines as always, but for one whose child really dies."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    return examine_apart(engine, command=[sys.executable, "-c", code] if engine == "openvino" else None)


def test_an_engine_that_crashes_is_told_and_the_others_go_on():
    found = diagnose(examine=crash_openvino)
    ours, theirs = found.engines
    assert (ours.engine, ours.runs, ours.problem) == ("onnxruntime", True, None)
    assert (theirs.engine, theirs.runs, theirs.problem) == ("openvino", False, "crashed: signal SIGILL")
    require_engine(found)


def test_engines_name_the_packages_that_own_them():
    found = diagnose(examine=lambda engine: Examination(engine, problem="crashed"))
    for engine in found.engines:
        assert any(package.startswith(f"{engine.engine} ") for package in engine.packages)


def test_engines_that_all_fail_are_one_error_with_every_reason():
    found = diagnose(examine=lambda engine: Examination(engine, problem=f"crashed in {engine}"))
    with pytest.raises(EngineError, match="onnxruntime: crashed in onnxruntime; openvino: crashed in openvino"):
        require_engine(found)


def test_an_engine_without_a_device_that_runs_is_no_engine():
    with pytest.raises(EngineError, match="onnxruntime: no device runs a graph"):
        require_engine(diagnose(examine=Examination))


def test_without_any_engine_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "installed", lambda: ())
    found = diagnose()
    assert [engine.problem for engine in found.engines] == [
        "not installed: pip install 'edgecnn[onnxruntime]'",
        "not installed: pip install 'edgecnn[openvino]'",
    ]
    with pytest.raises(EngineMissing, match="no engine is installed"):
        require_engine(found)


def test_the_facts_are_those_of_the_machine_and_so_are_the_hazards(tmp_path: Path):
    files = {
        "proc/cpuinfo": "model name\t: AMD Ryzen 9 5950X\nflags\t: sse4_2 avx2\n",
        "proc/meminfo": "MemTotal: 16000000 kB\n",
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/cpu.max": "50000 100000\n",
        "sys/fs/cgroup/memory.max": "268435456\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = diagnose(root=tmp_path, examine=Examination)
    assert found.machine.processor.name == "AMD Ryzen 9 5950X"
    assert (found.machine.quota, found.machine.usable_cores, found.machine.memory_bytes) == (0.5, 1, 2**28)
    names = {hazard.name for hazard in found.hazards}
    assert names >= {"no-int8-dot-product", "quota-below-one-core", "one-core", "little-memory"}


def test_telemetry_that_the_user_left_on_is_a_hazard(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    found = diagnose(examine=lambda engine: Examination(engine, version="1.32.0"))
    assert "telemetry" in [hazard.name for hazard in found.hazards]
