"""Bundles that are well-formed and hold anything but a model; engines that crash and hang: the server hears of it."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from broken_models import MODELS, NO_GRAPHS, endless_loop, reseal
from onnx import helper

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
from edgecnn.runtime.engines.backend import SessionOptions
from edgecnn.runtime.engines.backends import installed
from edgecnn.server.preflight.trial import try_bundle

ENGINES = pytest.mark.parametrize("engine", installed())


@ENGINES
def test_an_intact_bundle_tells_what_ran_and_how_fast(engine: str, bundle_copy: Path):
    trial = try_bundle(bundle_copy, backend=engine, options=SessionOptions(threads=1))
    assert (trial.session.engine, trial.session.threads, trial.concurrency) == (engine, 1, 1)
    assert (trial.self_test.images, trial.self_test.failures) == (32, ())
    assert 0 < trial.run_ms < 1000 * trial.seconds


@pytest.mark.parametrize("fault", MODELS)
@ENGINES
def test_a_model_that_is_none_is_an_error_that_names_the_file(engine: str, fault: str, bundle_copy: Path):
    reseal(bundle_copy, MODELS[fault]((bundle_copy / "model.onnx").read_bytes()))
    with pytest.raises(BundleError if fault in NO_GRAPHS else EngineError) as raised:
        try_bundle(bundle_copy, backend=engine, timeout_s=60.0)
    message = str(raised.value)
    assert str(bundle_copy) in message
    assert "\n" not in message
    assert "Traceback" not in message


@pytest.mark.skipif("onnxruntime" not in installed(), reason="the loop is known to be endless there")
def test_a_model_that_never_answers_is_given_up(bundle_copy: Path):
    reseal(bundle_copy, endless_loop())
    with pytest.raises(EngineCrashed, match=r"did not open and prove .* within 4 s"):
        try_bundle(bundle_copy, backend="onnxruntime", timeout_s=4.0)


def test_a_folder_that_is_no_intact_bundle_keeps_its_own_error(bundle_copy: Path, tmp_path: Path):
    with pytest.raises(BundleNotFound):
        try_bundle(tmp_path / "nowhere")
    with (bundle_copy / "model.onnx").open("r+b") as file:
        file.write(b"xx")
    with pytest.raises(DigestMismatch, match=r"model\.onnx has changed since it was sealed"):
        try_bundle(bundle_copy)


def test_another_answer_than_the_references_fails_the_proof(bundle_copy: Path):
    model = onnx.load(bundle_copy / "model.onnx")
    last = next(node for node in model.graph.node if node.output[0] == "logits")
    last.output[0] = "real"
    model.graph.node.append(helper.make_node("Neg", ["real"], ["logits"]))
    reseal(bundle_copy, model.SerializeToString())
    with pytest.raises(ProofFailed, match=r"the proof of .* does not hold on .* here: self-test image"):
        try_bundle(bundle_copy)


def test_what_cannot_be_asked_for_is_a_usage_error(bundle_copy: Path):
    with pytest.raises(UsageError, match="there is no backend 'tvm'"):
        try_bundle(bundle_copy, backend="tvm")
    with pytest.raises(UsageError, match="there is no device 'tpu'"):
        try_bundle(bundle_copy, options=SessionOptions(device="tpu"))


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGILL"])
def test_an_engine_that_crashes_takes_only_the_child_along(
    fake_openvino: Callable[[str], None], bundle_copy: Path, name: str
):
    fake_openvino(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    with pytest.raises(EngineCrashed, match=f"the engine crashed with {name} while it opened {bundle_copy}"):
        try_bundle(bundle_copy, backend="openvino")


@pytest.mark.slow
def test_kills_a_hanging_engine_and_its_children(
    fake_openvino: Callable[[str], None], bundle_copy: Path, tmp_path: Path
):
    code = "import os, subprocess, time\nfrom pathlib import Path\nchild = subprocess.Popen(['sleep', '600'])\n"
    code += f"Path({str(tmp_path)!r}, 'pids').write_text(f'{{os.getpid()}} {{child.pid}}')\ntime.sleep(600)\n"
    fake_openvino(code)
    for timeout_s in (4.0, 16.0, 64.0):
        with pytest.raises(EngineCrashed, match="did not open and prove"):
            try_bundle(bundle_copy, backend="openvino", timeout_s=timeout_s)
        if (tmp_path / "pids").exists():
            break  # on a busy machine the child may be killed before it imports the engine
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        assert is_dead(pid)


def test_an_engine_that_floods_its_output_costs_no_memory(fake_openvino: Callable[[str], None], bundle_copy: Path):
    code = "import os\nfor _ in range(1000): os.write(1, b'x' * 100_000)\nraise ImportError('the last words')"
    fake_openvino(code)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(EngineMissing, match="the last words"):
        try_bundle(bundle_copy, backend="openvino")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # of 100 MB


def test_an_engine_that_exits_says_its_last_line(fake_openvino: Callable[[str], None], bundle_copy: Path):
    fake_openvino("import os\nos.write(2, b'no licence\\n')\nos._exit(3)")
    with pytest.raises(EngineCrashed, match=r"ended with exit code 3 while it opened .*: no licence"):
        try_bundle(bundle_copy, backend="openvino")


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux knows them")
def test_the_child_has_limits_and_its_parents_environment(fake_openvino: Callable[[str], None], bundle_copy: Path):
    code = "import resource\nnames = ('CORE', 'CPU', 'DATA')\n"
    code += "limits = [resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[0] for name in names]\n"
    code += "raise ImportError(f'{limits} {open(\"/proc/self/oom_score_adj\").read()}')"
    fake_openvino(code)
    with pytest.raises(EngineMissing) as raised:
        try_bundle(bundle_copy, backend="openvino", timeout_s=10.0)
    core, cpu, data = json.loads(str(raised.value).partition("imported: ")[2].rpartition(" ")[0])
    assert core == 0
    assert 10 < cpu <= 10 * (os.cpu_count() or 1) + 1
    assert 0 < data < 1 << 50
    assert str(raised.value).endswith(" 1000")


def test_memory_that_is_not_there_is_refused_in_the_child(fake_openvino: Callable[[str], None], bundle_copy: Path):
    fake_openvino("held = bytearray(1 << 44)")
    with pytest.raises(EngineError, match="needs more memory than there is here"):
        try_bundle(bundle_copy, backend="openvino")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends with its stdin")
def test_the_child_dies_with_the_server(fake_openvino: Callable[[str], None], bundle_copy: Path, tmp_path: Path):
    code = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    fake_openvino(code)
    code = "import sys\nfrom pathlib import Path\nfrom edgecnn.server.preflight.trial import try_bundle\n"
    code += "try_bundle(Path(sys.argv[1]), backend='openvino')"
    server = subprocess.Popen([sys.executable, "-c", code, str(bundle_copy)], env=child_environment())
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    server.kill()
    server.wait()
    assert is_dead(int((tmp_path / "pid").read_text()))


def test_a_bundle_whose_claim_of_weights_is_false_is_refused(bundle_copy: Path):
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
