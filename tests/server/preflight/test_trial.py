"""Tests of the trial: faulty graphs, and engines that crash or hang."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from broken_models import MODELS, NO_GRAPHS, endless_loop, reseal
from onnx import helper

from edgecnn.bundle.store import Bundle
from edgecnn.errors import (
    BundleError,
    BundleNotFound,
    DigestMismatch,
    EngineCrashed,
    EngineError,
    EngineMissing,
    ProofFailed,
    UsageError,
)
from edgecnn.host.child import child_environment
from edgecnn.runtime.cascade import CascadeRule, CascadeSession
from edgecnn.runtime.engines.engine import SessionInfo, SessionOptions
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.verification.replay import SelfTestResult
from edgecnn.server.preflight import trial
from edgecnn.server.preflight.trial import try_bundle

ENGINES = pytest.mark.parametrize("engine", installed())


@ENGINES
def test_reports_engine_and_speed(engine: str, bundle_copy: Path):
    trial = try_bundle(bundle_copy, engine=engine, options=SessionOptions(threads=1))
    assert (trial.session.engine, trial.session.threads, trial.instances) == (engine, 1, 1)
    assert (trial.self_test.images, trial.self_test.failures) == (32, ())
    assert trial.seconds > 0


def test_runs_the_largest_batch_on_both_graphs_of_a_cascade(
    committed: Bundle, cascade_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    sizes: list[int] = []

    class Counting:
        info, instances = SessionInfo("counting", "1", "cpu", "fp32", 1), 1

        def run(self, images: np.ndarray) -> np.ndarray:
            sizes.append(len(images))
            return np.zeros((len(images), 10), np.float32)

        def close(self) -> None:
            pass

    def opened(bundle: Bundle, **_: object) -> tuple[object, None, SelfTestResult]:
        cascade = bundle.manifest.cascade
        rule = CascadeRule(0.0, bundle.manifest.scores)  # the fast graph answers every image
        session = Counting() if cascade is None else CascadeSession(Counting(), Counting(), rule)  # type: ignore[arg-type]
        return session, None, SelfTestResult(1, 1, 0.0, 1.0, 0, ())

    monkeypatch.setattr(trial, "open_proven", opened)
    for bundle in (committed, cascade_bundle):
        trial._tried(trial._TrialRequest(bundle.path, None, "auto", SessionOptions(), False, False, 7, 1.0, 0))
    assert sizes == [7, 7, 7]


@pytest.mark.parametrize("fault", MODELS)
@ENGINES
def test_reports_a_faulty_graph(engine: str, fault: str, bundle_copy: Path):
    reseal(bundle_copy, MODELS[fault]((bundle_copy / "model.onnx").read_bytes()))
    with pytest.raises(BundleError if fault in NO_GRAPHS else EngineError) as raised:
        try_bundle(bundle_copy, engine=engine, timeout_s=60.0)
    message = str(raised.value)
    assert str(bundle_copy) in message
    assert "\n" not in message
    assert "Traceback" not in message


@pytest.mark.slow
@pytest.mark.skipif("onnxruntime" not in installed(), reason="the endless loop needs onnxruntime")
def test_times_out_an_endless_graph(bundle_copy: Path):
    reseal(bundle_copy, endless_loop())
    with pytest.raises(EngineCrashed, match=r"did not open and verify .* within 4 s"):
        try_bundle(bundle_copy, engine="onnxruntime", timeout_s=4.0)


def test_reports_a_missing_or_altered_bundle(bundle_copy: Path, tmp_path: Path):
    with pytest.raises(BundleNotFound):
        try_bundle(tmp_path / "nowhere")
    with (bundle_copy / "model.onnx").open("r+b") as file:
        file.write(b"xx")
    with pytest.raises(DigestMismatch, match=r"model\.onnx has changed since it was sealed"):
        try_bundle(bundle_copy)


def test_reports_wrong_logits(bundle_copy: Path):
    model = onnx.load(bundle_copy / "model.onnx")
    last = next(node for node in model.graph.node if node.output[0] == "logits")
    last.output[0] = "real"
    model.graph.node.append(helper.make_node("Neg", ["real"], ["logits"]))
    reseal(bundle_copy, model.SerializeToString())
    with pytest.raises(ProofFailed, match=r"the proof of .* does not hold on .* here: self-test image"):
        try_bundle(bundle_copy)


def test_rejects_an_unknown_engine_or_device(bundle_copy: Path):
    with pytest.raises(UsageError, match="unknown engine 'tvm'"):
        try_bundle(bundle_copy, engine="tvm")
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        try_bundle(bundle_copy, options=SessionOptions(device="tpu"))


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGILL"])
def test_survives_a_crashing_engine(fake_openvino: Callable[[str], None], bundle_copy: Path, name: str):
    fake_openvino(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    with pytest.raises(EngineCrashed, match=f"the engine crashed with {name} while opening {bundle_copy}"):
        try_bundle(bundle_copy, engine="openvino")


@pytest.mark.slow
def test_kills_a_hanging_engine_and_its_children(
    fake_openvino: Callable[[str], None], bundle_copy: Path, tmp_path: Path
):
    code = "import os, subprocess, time\nfrom pathlib import Path\nchild = subprocess.Popen(['sleep', '600'])\n"
    code += f"Path({str(tmp_path)!r}, 'pids').write_text(f'{{os.getpid()}} {{child.pid}}')\ntime.sleep(600)\n"
    fake_openvino(code)
    for timeout_s in (4.0, 16.0, 64.0):
        with pytest.raises(EngineCrashed, match="did not open and verify"):
            try_bundle(bundle_copy, engine="openvino", timeout_s=timeout_s)
        if (tmp_path / "pids").exists():
            break  # on a busy machine, the timeout may pass before the import of the engine
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        assert is_dead(pid)


def test_limits_the_engine_output(fake_openvino: Callable[[str], None], bundle_copy: Path):
    code = "import os\nfor _ in range(1000): os.write(1, b'x' * 100_000)\nraise ImportError('the last words')"
    fake_openvino(code)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(EngineMissing, match="the last words"):
        try_bundle(bundle_copy, engine="openvino")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # of 100 MB


def test_reports_the_last_line_of_an_exit(fake_openvino: Callable[[str], None], bundle_copy: Path):
    fake_openvino("import os\nos.write(2, b'no licence\\n')\nos._exit(3)")
    with pytest.raises(EngineCrashed, match=r"exited with code 3 while opening .*: no licence"):
        try_bundle(bundle_copy, engine="openvino")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux limits")
def test_limits_the_child_process(fake_openvino: Callable[[str], None], bundle_copy: Path):
    code = "import resource\nnames = ('CORE', 'CPU', 'DATA')\n"
    code += "limits = [resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[0] for name in names]\n"
    code += "raise ImportError(f'{limits} {open(\"/proc/self/oom_score_adj\").read()}')"
    fake_openvino(code)
    with pytest.raises(EngineMissing) as raised:
        try_bundle(bundle_copy, engine="openvino", timeout_s=10.0)
    core, cpu, data = json.loads(str(raised.value).partition("imported: ")[2].rpartition(" ")[0])
    assert core == 0
    assert 10 < cpu <= 10 * (os.cpu_count() or 1) + 1
    assert 0 < data < 1 << 50
    assert str(raised.value).endswith(" 1000")


def test_reports_too_little_memory(fake_openvino: Callable[[str], None], bundle_copy: Path):
    fake_openvino("held = bytearray(1 << 44)")
    with pytest.raises(EngineError, match="needs more memory than is available"):
        try_bundle(bundle_copy, engine="openvino")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems end the child with its stdin")
def test_child_ends_with_the_server(fake_openvino: Callable[[str], None], bundle_copy: Path, tmp_path: Path):
    code = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    fake_openvino(code)
    code = "import sys\nfrom pathlib import Path\nfrom edgecnn.server.preflight.trial import try_bundle\n"
    code += "try_bundle(Path(sys.argv[1]), engine='openvino')"
    server = subprocess.Popen([sys.executable, "-c", code, str(bundle_copy)], env=child_environment())
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    server.kill()
    server.wait()
    assert is_dead(int((tmp_path / "pid").read_text()))


def test_rejects_a_wrong_weight_range(bundle_copy: Path):
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["graphs"][0]["quantization"]["weight_limit"] = 1
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError):
        try_bundle(bundle_copy)


def is_dead(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False
