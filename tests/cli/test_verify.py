"""`edgecnn verify` without data: the proof on this machine, its record, and exit code 3."""

import json
from pathlib import Path

import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.runtime.engines.backends import installed


@pytest.mark.parametrize("engine", installed())
def test_the_committed_bundle_verifies_on_every_engine(edgecnn, committed: Bundle, engine: str):
    result = edgecnn("verify", committed.path, "--backend", engine)
    assert result.code == 0
    assert f"on {engine}" in result.out
    assert "the proof holds" in result.out
    assert "float layers in fp32" in result.out


def test_a_proof_that_does_not_hold_exits_with_3_and_the_reason(edgecnn, lying_bundle: Bundle):
    result = edgecnn("verify", lying_bundle.path, "--json")
    assert result.code == 3
    assert "a logit is off" in result.error
    assert json.loads(result.out)["holds"] is False


def test_the_record_goes_to_the_state_folder_and_names_the_digest(edgecnn, committed: Bundle, tmp_path: Path):
    edgecnn("verify", committed.path, "--backend", "onnxruntime")
    record = tmp_path / "state" / "edgecnn" / "verifications" / "lenet-digits-int8.onnxruntime.json"
    assert json.loads(record.read_text())["bundle"] == committed.digest


def test_record_names_another_place(edgecnn, committed: Bundle, tmp_path: Path):
    edgecnn("verify", committed.path, "--record", tmp_path / "here.json")
    assert json.loads((tmp_path / "here.json").read_text())["holds"] is True
    assert not (tmp_path / "state").exists()


def test_a_record_about_another_bundle_is_shown_as_stale(
    edgecnn, committed: Bundle, lying_bundle: Bundle, tmp_path: Path
):
    place = tmp_path / "record.json"
    assert edgecnn("verify", lying_bundle.path, "--record", place).code == 3
    result = edgecnn("verify", committed.path, "--record", place)
    assert result.code == 0
    assert "stale" in result.err
    assert lying_bundle.digest[:12] in result.err
    assert "stale" not in edgecnn("verify", committed.path, "--record", place).err


def test_a_file_that_is_no_record_is_not_overwritten(edgecnn, committed: Bundle, tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("chapter one")
    result = edgecnn("verify", committed.path, "--record", tmp_path / "thesis.txt")
    assert (result.code, "not a verification record" in result.error) == (1, True)
    assert (tmp_path / "thesis.txt").read_text() == "chapter one"


def test_a_bundle_and_a_home_that_cannot_be_written_are_still_verified(
    edgecnn, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
):
    for child in bundle_copy.iterdir():
        child.chmod(0o444)
    bundle_copy.chmod(0o555)
    before = sorted((child.name, child.stat().st_mtime_ns) for child in bundle_copy.iterdir())
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")  # nobody can write there, not even root
    result = edgecnn("verify", bundle_copy)
    assert result.code == 0
    assert "warning: cannot write /proc/none" in result.err
    assert sorted((child.name, child.stat().st_mtime_ns) for child in bundle_copy.iterdir()) == before
    assert edgecnn("verify", bundle_copy, "--strict").code == 1


def test_another_models_checkpoint_is_not_the_reference(edgecnn, committed: Bundle, tmp_path: Path):
    edgecnn("train", "lenet", "--data", "digits", "--out", tmp_path / "other", "--epochs", 1, "--seed", 9)
    result = edgecnn("verify", committed.path, "--data", "digits", "--reference", tmp_path / "other")
    assert (result.code, "not the reference" in result.error) == (2, True)


def test_verifying_a_damaged_bundle_names_the_file(edgecnn, bundle_copy: Path):
    content = bytearray((bundle_copy / "model.onnx").read_bytes())
    content[-1] ^= 255
    (bundle_copy / "model.onnx").write_bytes(content)
    result = edgecnn("verify", bundle_copy)
    assert (result.code, "model.onnx has changed" in result.error) == (1, True)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--backend", "tflite"], 2, "choose auto, onnxruntime or openvino"),
        (["--device", "quantum"], 2, "choose cpu"),
        (["--backend", "onnxruntime", "--precision", "bf16"], 1, "not in bf16"),
        (["--device", "tensorrt"], 1, "FP32 bundle"),
    ],
)
def test_an_engine_or_device_that_cannot_be_is_one_line(
    edgecnn, committed: Bundle, options: list[str], code: int, says: str
):
    result = edgecnn("verify", committed.path, *options)
    assert result.code == code
    assert says in result.error


def test_cuda_without_one_is_refused(edgecnn, committed: Bundle):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build has CUDA")
    result = edgecnn("verify", committed.path, "--device", "cuda")
    assert (result.code, "onnxruntime-gpu" in result.error) == (1, True)


def test_a_record_inside_the_bundle_would_break_its_seal(edgecnn, bundle_copy: Path):
    result = edgecnn("verify", bundle_copy, "--record", bundle_copy / "record.json")
    assert (result.code, "sealed" in result.error) == (2, True)
    assert edgecnn("verify", bundle_copy).code == 0


def test_a_failed_proof_is_told_even_where_its_record_cannot_be_written(edgecnn, lying_bundle: Bundle, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    result = edgecnn("verify", lying_bundle.path, "--record", tmp_path / "file" / "record.json")
    assert (result.code, "does not hold" in result.error) == (3, True)
    assert "warning: cannot" in result.err
    assert "does NOT hold" in result.out


def test_without_a_home_folder_a_bundle_is_still_verified(edgecnn, committed: Bundle, monkeypatch: pytest.MonkeyPatch):
    def nobody(cls: type) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", classmethod(nobody))
    result = edgecnn("verify", committed.path)
    assert (result.code, "set HOME" in result.err) == (0, True)


@pytest.mark.slow
def test_a_full_range_bundle_is_predicted_to_fail_on_a_processor_without_vnni(edgecnn, full_range: Bundle, tmp_path):
    result = edgecnn("verify", full_range.path, "--simulate", "avx2")
    assert result.code == 3
    assert "does not hold on a CPU whose INT8 sums saturate" in result.error
    assert "simulated-avx2" in result.out
    assert "predicted, not run: saturating as in ONNX Runtime's AVX2 kernels" in result.out
    assert not (tmp_path / "state").exists()  # a prediction is no verification record


def test_a_portable_bundle_is_predicted_to_hold(edgecnn, committed: Bundle):
    result = edgecnn("verify", committed.path, "--simulate", "avx2", "--json")
    assert result.code == 0
    assert json.loads(result.out)["holds"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--record", "here.json"), "--simulate only predicts"),
        (("--backend", "openvino"), "runs on no engine"),
        (("--threads", "1"), "runs on no engine"),
        (("--simulate", "nehalem"), "is not"),
    ],
)
def test_what_a_simulation_cannot_do_is_a_usage_error(edgecnn, committed: Bundle, options: tuple, message: str):
    result = edgecnn("verify", committed.path, "--simulate", "avx2", *options)
    assert result.code == 2
    assert message in result.err
    assert not Path("here.json").exists()
