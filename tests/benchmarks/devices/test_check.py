"""`make devices`: the checks themselves, and their run on an emulated Raspberry Pi 4 and Haswell."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from broken_models import MODELS, reseal
from repository import COMMITTED

from benchmarks.devices.check import quick
from benchmarks.devices.emulation import CORTEX_A72, HASWELL
from benchmarks.devices.findings import Cell, Device, FullRange, shortcomings, without_folders
from benchmarks.devices.page import page

FINE = Cell("max", "lenet", "int8", False, "d" * 64, "onnxruntime", 200, 0, None, 0, 1, 0.1, 1.01, 5.0, 160.0)
DEVICE = Device(
    name="Haswell",
    about="Haswell: AVX2, no VNNI",
    processor="a processor",
    features=["AVX2"],
    doctor=0,
    problems={},
    saturates={"onnxruntime": ["convolution"], "openvino": ["convolution"]},
    incurable=["openvino"],
    predicted="7",
    served="7",
    ready_s=4.0,
    served_mb=250.0,
    served_exit=0,
    right="7",
)
GUARDED = FullRange(
    bundle="full",
    verify_warns=("they may saturate",),
    strict_verify=1,
    load_warns=("they may saturate",),
    strict_load=1,
    says="they saturate",
    openvino=1.0,
    uncured=9.0,
    uncured_error=3.0,
    tolerance=0.4,
    cured=1.0,
)

MISSING = HASWELL.missing() or CORTEX_A72.missing()


def emulated(test: Callable) -> Callable:
    return pytest.mark.slow(pytest.mark.skipif(MISSING is not None, reason=MISSING or "")(test))


def test_reports_nothing_if_all_checks_pass():
    assert shortcomings([FINE], [DEVICE], GUARDED) == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"verify": 3, "problem": "a logit is off"}, "edgecnn verify exited with 3: a logit is off"),
        ({"rms_ratio": None}, "no answer"),
        ({"rms_ratio": 1.06}, "the RMS logit error is 1.060 of this machine's"),
        ({"rms_ratio": 0.94}, "the RMS logit error is 0.940 of this machine's"),
    ],
)
def test_reports_wrong_answers_of_a_bundle(change: dict[str, object], expected: str):
    cell = dataclasses.replace(FINE, **change)
    (line,) = shortcomings([cell], [], None)
    assert line.startswith(f"max, lenet: {expected}")


def test_allows_larger_rounding_errors_in_fp32():
    assert shortcomings([dataclasses.replace(FINE, precision="fp32", rms_ratio=1.4)], [], None) == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"doctor": 1}, "edgecnn doctor exited with 1"),
        ({"problems": {"onnxruntime": "crashed"}}, "onnxruntime: crashed"),
        ({"predicted": "1"}, "a 7 is predicted as 1 and served as 7"),
        ({"served": "9"}, "a 7 is predicted as 7 and served as 9"),
        ({"served_exit": -9}, "edgecnn serve exited with -9 after SIGTERM"),
    ],
)
def test_reports_failing_commands(change: dict[str, object], expected: str):
    assert shortcomings([], [dataclasses.replace(DEVICE, **change)], None) == (f"Haswell: {expected}",)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"verify_warns": ()}, "edgecnn verify of full on OpenVINO does not warn of saturation"),
        ({"strict_verify": 0}, "edgecnn verify of full on OpenVINO does not warn of saturation"),
        ({"uncured_error": 0.3}, "the self-test of full would not detect saturation in ONNX Runtime"),
        ({"load_warns": ()}, "loading full on OpenVINO gives no warning"),
        ({"strict_load": 0}, "loading full on OpenVINO gives no warning"),
        ({"uncured": 1.0}, "full does not saturate on ONNX Runtime: exact INT8 was not tested"),
    ],
)
def test_reports_unnoticed_saturation(change: dict[str, object], expected: str):
    assert shortcomings([], [DEVICE], dataclasses.replace(GUARDED, **change)) == (f"Haswell: {expected}",)


def test_reports_a_doctor_that_misses_saturation():
    blind = dataclasses.replace(DEVICE, saturates={"onnxruntime": [], "openvino": []}, incurable=[])
    assert shortcomings([], [blind], GUARDED) == (
        "Haswell: edgecnn doctor does not report that full-range weights saturate",
    )


def test_page_lists_every_cell_and_failure():
    bad = dataclasses.replace(FINE, device="Haswell", verify=3, problem="the proof of lenet fails")
    text = page([DEVICE], [bad], GUARDED)
    assert "| Haswell: AVX2, no VNNI | a processor | saturates by default, saturates | 7 | 7 | 4 s | 250 MB |" in text
    assert "| lenet | Haswell: AVX2, no VNNI | **fails** | 200 | 0 | 1 | 0.1 | 1.010 | 5.0 s | 160 MB |" in text
    assert "the proof of lenet fails" in text
    assert "9.00 times this machine's" in text


def test_removes_folders_from_messages():
    assert without_folders(["the proof of /somewhere/else/lenet does not hold"]) == (
        "the proof of lenet does not hold",
    )


@emulated
def test_serves_the_committed_bundle_on_all_devices():
    assert quick() == ()


def flipped(bundle: Path) -> Path:
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(content)
    return bundle


@emulated
@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda bundle: reseal(bundle, MODELS["empty"](b"")),
        lambda bundle: reseal(bundle, MODELS["opset too new"](b"")),
        lambda bundle: reseal(bundle, MODELS["unknown operator"](b"")),
    ],
    ids=["flipped bit", "empty", "opset too new", "unknown operator"],
)
def test_rejects_a_damaged_bundle_on_a_raspberry_pi(damage: Callable[[Path], Path], tmp_path: Path):
    bad = damage(Path(shutil.copytree(COMMITTED, tmp_path / "bad")))
    done = CORTEX_A72.run("-m", "edgecnn", "verify", str(bad), "--engine", "onnxruntime")
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("qemu-")]
    assert line.startswith("error: ")
    assert str(bad) in line
    assert "model.onnx" in line
