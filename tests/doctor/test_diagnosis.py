"""The complete diagnosis, with files of other machines and with failing engines."""

import sys
from pathlib import Path

import pytest

from edgecnn.doctor import diagnosis as module
from edgecnn.doctor.diagnosis import diagnose, require_engine
from edgecnn.doctor.examination import Examination, examine_apart
from edgecnn.errors import EngineError, EngineMissing
from edgecnn.hints import install_command


def crash_openvino(engine: str) -> Examination:
    """Examine an engine; for OpenVINO the child process crashes."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    return examine_apart(engine, command=[sys.executable, "-c", code] if engine == "openvino" else None)


def test_continues_after_an_engine_crash():
    found = diagnose(examine=crash_openvino)
    ours, theirs = found.engines
    assert (ours.engine, ours.runs, ours.problem) == ("onnxruntime", True, None)
    assert (theirs.engine, theirs.runs, theirs.problem) == ("openvino", False, "crashed: signal SIGILL")
    require_engine(found)


def test_lists_the_packages_of_engines():
    found = diagnose(examine=lambda engine: Examination(engine, problem="crashed"))
    for engine in found.engines:
        assert any(package.startswith(f"{engine.engine} ") for package in engine.packages)


def test_reports_the_failures_of_all_engines():
    found = diagnose(examine=lambda engine: Examination(engine, problem=f"crashed in {engine}"))
    with pytest.raises(EngineError, match="onnxruntime: crashed in onnxruntime; openvino: crashed in openvino"):
        require_engine(found)


def test_requires_a_device_that_runs():
    with pytest.raises(EngineError, match="onnxruntime: no device runs a graph"):
        require_engine(diagnose(examine=Examination))


def test_names_the_extra_for_a_missing_engine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "installed", lambda: ())
    found = diagnose()
    expected = [f"not installed: {install_command(name)}" for name in ("onnxruntime", "openvino")]
    assert [engine.problem for engine in found.engines] == expected
    with pytest.raises(EngineMissing, match="no engine is installed"):
        require_engine(found)


def test_reports_facts_and_hazards_of_the_machine(tmp_path: Path):
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


def test_reports_pages_and_bandwidth_of_the_machine(tmp_path: Path):
    folder = tmp_path / "sys/kernel/mm/transparent_hugepage"
    folder.mkdir(parents=True)
    (folder / "enabled").write_text("always madvise [never]\n")
    (folder / "hpage_pmd_size").write_text("2097152\n")
    found = diagnose(root=tmp_path, examine=Examination, read_bandwidth=lambda reads: 1e9 * reads.threads)
    assert (found.machine.huge_page_bytes, found.machine.no_huge_pages) == (2**21, "the system's setting is never")
    assert found.read_bytes_per_s == 1e9 * found.machine.usable_cores


def test_warns_if_telemetry_is_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    found = diagnose(examine=lambda engine: Examination(engine, version="1.32.0"))
    assert "telemetry" in [hazard.name for hazard in found.hazards]
