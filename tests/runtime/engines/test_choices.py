"""The choice of engine, device and precision: nothing replaces what was asked for without an error."""

import re
import sys

import numpy as np
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import DeviceUnavailable, EngineError, EngineMissing, PrecisionUnavailable, UsageError
from edgecnn.hints import install_command
from edgecnn.runtime.engines import registry
from edgecnn.runtime.engines.engine import PRECISIONS, SessionOptions
from edgecnn.runtime.engines.registry import choose_engine, get_engine, installed
from edgecnn.runtime.opening import open_session

PAIRS = [(name, device.name) for name in installed() for device in get_engine(name).devices()]


ABSENT = [
    (engine, device)
    for engine, devices in (("onnxruntime", ("cuda", "tensorrt", "gpu")), ("openvino", ("gpu", "npu", "cuda")))
    for device in devices
    if (engine, device) not in PAIRS
]


@pytest.mark.parametrize(("engine", "device"), ABSENT)
def test_rejects_a_missing_device(engine: str, device: str, fp32_bundle: Bundle):
    with pytest.raises(DeviceUnavailable, match=device):
        open_session(fp32_bundle, engine=engine, options=SessionOptions(device=device))


@pytest.mark.parametrize("device", ["cuda", "tensorrt", "gpu", "npu"])
def test_auto_does_not_replace_a_named_device(device: str, fp32_bundle: Bundle):
    if any(name == device for _, name in PAIRS):
        pytest.skip(f"this machine has a {device}")
    with pytest.raises(DeviceUnavailable):
        open_session(fp32_bundle, options=SessionOptions(device=device))


def test_onnx_runtime_rejects_bfloat16_on_the_cpu(committed: Bundle):
    with pytest.raises(PrecisionUnavailable, match="fp32"):
        open_session(committed, engine="onnxruntime", options=SessionOptions(precision="bf16"))


def test_openvino_runs_bfloat16_if_supported(fp32_bundle: Bundle):
    import openvino

    options = SessionOptions(precision="bf16")
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert open_session(fp32_bundle, engine="openvino", options=options).info.precision == "bf16"
    else:
        with pytest.raises(PrecisionUnavailable, match="not in bf16"):
            open_session(fp32_bundle, engine="openvino", options=options)


def test_openvino_runs_fp32_in_fp32(fp32_bundle: Bundle):
    session = open_session(fp32_bundle, engine="openvino")
    self_test = fp32_bundle.self_test()
    assert (
        np.abs(session.run(self_test.images) - self_test.logits).max() < 1e-4
    )  # bfloat16 differs by about 100 times the limit


def test_rejects_asymmetric_int8_on_tensorrt(committed: Bundle):
    with pytest.raises(EngineError, match="FP32 bundle"):
        open_session(committed, engine="onnxruntime", options=SessionOptions(device="tensorrt"))


@pytest.mark.parametrize(("engine", "device"), PAIRS)
def test_reports_the_default_precision(engine: str, device: str, committed: Bundle):
    found = get_engine(engine).default_precision(committed.model, device)
    assert found in PRECISIONS if device == "cpu" else found in (None, *PRECISIONS)


def test_a_missing_device_has_no_default_precision(committed: Bundle):
    with pytest.raises(EngineError, match="npu") as raised:
        get_engine("openvino").default_precision(committed.model, "npu")
    assert "\n" not in str(raised.value)


def test_names_the_extra_for_a_missing_engine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "installed", lambda: ("onnxruntime",))
    with pytest.raises(EngineMissing, match=re.escape(install_command("openvino"))):
        get_engine("openvino")
    with pytest.raises(EngineMissing, match="openvino"):
        choose_engine("auto", "npu")


def test_reports_a_failed_import(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "edgecnn.runtime.engines.openvino", None)  # its import raises ImportError
    with pytest.raises(EngineMissing, match="cannot be imported"):
        get_engine("openvino")


@pytest.mark.parametrize("device", ["cpu:7", "npu:1", "auto:0", "cuda:", "gpu:x"])
def test_rejects_an_invalid_device_number(device: str):
    with pytest.raises(UsageError, match="unknown device"):
        choose_engine("auto", device)


@pytest.mark.parametrize("threads", [0, -1])
def test_rejects_threads_below_one(threads: int, committed: Bundle):
    with pytest.raises(UsageError, match="threads"):
        open_session(committed, options=SessionOptions(threads=threads))


def test_names_the_extras_without_any_engine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "installed", lambda: ())
    with pytest.raises(EngineMissing, match="pip install"):
        choose_engine("auto", "cpu")


def test_unknown_names_list_the_choices():
    with pytest.raises(UsageError, match="onnxruntime or openvino"):
        get_engine("tflite")
    with pytest.raises(UsageError, match="cpu, cuda"):
        choose_engine("auto", "quantum")
