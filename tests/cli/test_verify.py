"""Tests of `edgecnn verify` without data: self-test, record and exit codes."""

import json
from pathlib import Path

import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.runtime.engines.registry import installed


@pytest.mark.parametrize("engine", installed())
def test_verifies_on_every_engine(edgecnn, committed: Bundle, engine: str):
    result = edgecnn("verify", committed.path, "--engine", engine)
    assert result.code == 0
    assert f"on {engine}" in result.out
    assert "the proof holds" in result.out
    assert "float layers in fp32" in result.out


def test_exits_with_3_if_the_proof_fails(edgecnn, lying_bundle: Bundle):
    result = edgecnn("verify", lying_bundle.path, "--json")
    assert result.code == 3
    assert "a logit is off" in result.error
    assert json.loads(result.out)["holds"] is False


def test_writes_the_record_to_the_state_folder(edgecnn, committed: Bundle, tmp_path: Path):
    edgecnn("verify", committed.path, "--engine", "onnxruntime")
    record = tmp_path / "state" / "edgecnn" / "verifications" / "lenet-digits-int8.onnxruntime.json"
    assert json.loads(record.read_text())["bundle"] == committed.digest


def test_writes_the_record_to_a_given_path(edgecnn, committed: Bundle, tmp_path: Path):
    edgecnn("verify", committed.path, "--record", tmp_path / "here.json")
    assert json.loads((tmp_path / "here.json").read_text())["holds"] is True
    assert not (tmp_path / "state").exists()


def test_reports_a_stale_record(edgecnn, committed: Bundle, lying_bundle: Bundle, tmp_path: Path):
    place = tmp_path / "record.json"
    assert edgecnn("verify", lying_bundle.path, "--record", place).code == 3
    result = edgecnn("verify", committed.path, "--record", place)
    assert result.code == 0
    assert "stale" in result.err
    assert lying_bundle.digest[:12] in result.err
    assert "stale" not in edgecnn("verify", committed.path, "--record", place).err


def test_keeps_a_file_that_is_not_a_record(edgecnn, committed: Bundle, tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("chapter one")
    result = edgecnn("verify", committed.path, "--record", tmp_path / "thesis.txt")
    assert (result.code, "not a verification record" in result.error) == (1, True)
    assert (tmp_path / "thesis.txt").read_text() == "chapter one"


def test_verifies_without_write_access(edgecnn, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch):
    for child in bundle_copy.iterdir():
        child.chmod(0o444)
    bundle_copy.chmod(0o555)
    before = sorted((child.name, child.stat().st_mtime_ns) for child in bundle_copy.iterdir())
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")  # not writable, even for root
    result = edgecnn("verify", bundle_copy)
    assert result.code == 0
    assert "warning: cannot write /proc/none" in result.err
    assert sorted((child.name, child.stat().st_mtime_ns) for child in bundle_copy.iterdir()) == before
    assert edgecnn("verify", bundle_copy, "--strict").code == 1


def test_rejects_another_reference(edgecnn, committed: Bundle, tmp_path: Path):
    edgecnn("train", "lenet", "--data", "digits", "--out", tmp_path / "other", "--epochs", 1, "--seed", 9)
    result = edgecnn("verify", committed.path, "--data", "digits", "--reference", tmp_path / "other")
    assert (result.code, "not the reference" in result.error) == (2, True)


def test_rejects_a_damaged_bundle(edgecnn, bundle_copy: Path):
    content = bytearray((bundle_copy / "model.onnx").read_bytes())
    content[-1] ^= 255
    (bundle_copy / "model.onnx").write_bytes(content)
    result = edgecnn("verify", bundle_copy)
    assert (result.code, "model.onnx has changed" in result.error) == (1, True)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--engine", "tflite"], 2, "choose auto, onnxruntime or openvino"),
        (["--device", "quantum"], 2, "choose cpu"),
        (["--engine", "onnxruntime", "--precision", "bf16"], 1, "not bf16"),
        (["--device", "tensorrt"], 1, "FP32 bundle"),
    ],
)
def test_rejects_invalid_engines_and_devices(edgecnn, committed: Bundle, options: list[str], code: int, says: str):
    result = edgecnn("verify", committed.path, *options)
    assert result.code == code
    assert says in result.error


def test_rejects_cuda_without_the_gpu_build(edgecnn, committed: Bundle):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build has CUDA")
    result = edgecnn("verify", committed.path, "--device", "cuda")
    assert (result.code, "onnxruntime-gpu" in result.error) == (1, True)


def test_rejects_a_record_inside_the_bundle(edgecnn, bundle_copy: Path):
    result = edgecnn("verify", bundle_copy, "--record", bundle_copy / "record.json")
    assert (result.code, "sealed" in result.error) == (2, True)
    assert edgecnn("verify", bundle_copy).code == 0


def test_reports_a_failed_proof_without_a_record(edgecnn, lying_bundle: Bundle, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    result = edgecnn("verify", lying_bundle.path, "--record", tmp_path / "file" / "record.json")
    assert (result.code, "does not hold" in result.error) == (3, True)
    assert "warning: cannot" in result.err
    assert "does NOT hold" in result.out


def test_verifies_without_a_home_folder(edgecnn, committed: Bundle, monkeypatch: pytest.MonkeyPatch):
    def no_home(cls: type) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", classmethod(no_home))
    result = edgecnn("verify", committed.path)
    assert (result.code, "set HOME" in result.err) == (0, True)


@pytest.mark.slow
def test_simulation_fails_for_full_range_weights(edgecnn, full_range: Bundle, tmp_path):
    result = edgecnn("verify", full_range.path, "--simulate", "avx2")
    assert result.code == 3
    assert "does not hold on a CPU whose INT8 sums saturate" in result.error
    assert "simulated-avx2" in result.out
    assert "simulated, not run: saturation as in ONNX Runtime's AVX2 kernels" in result.out
    assert not (tmp_path / "state").exists()  # a simulation writes no record


def test_simulation_passes_for_portable_weights(edgecnn, committed: Bundle):
    result = edgecnn("verify", committed.path, "--simulate", "avx2", "--json")
    assert result.code == 0
    assert json.loads(result.out)["holds"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--record", "here.json"), "--record cannot be used with --simulate"),
        (("--engine", "openvino"), "does not use an engine"),
        (("--threads", "1"), "does not use an engine"),
        (("--simulate", "nehalem"), "is not"),
    ],
)
def test_simulation_rejects_other_options(edgecnn, committed: Bundle, options: tuple, message: str):
    result = edgecnn("verify", committed.path, "--simulate", "avx2", *options)
    assert result.code == 2
    assert message in result.err
    assert not Path("here.json").exists()
