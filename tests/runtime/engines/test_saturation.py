"""Detection of INT8 saturation, exact INT8, and warnings without it."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from marks import emulated

from benchmarks.devices.emulation import HASWELL, NEHALEM, Processor, emulated_logits
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineError, SaturationWarning
from edgecnn.runtime.engines.engine import Device, SessionInfo, SessionOptions
from edgecnn.runtime.engines.registry import get_engine, installed
from edgecnn.runtime.engines.saturation import saturating, without_saturation
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.replay import replay

ENGINES = pytest.mark.parametrize("engine", installed())


class Saturating:
    """An engine whose convolutions saturate, without exact INT8."""

    name = "fake"
    symmetric_int8_only: frozenset[str] = frozenset()
    has_exact_int8 = False

    def devices(self) -> tuple[Device, ...]:
        return (Device("cpu", "fake"),)

    def open(self, model: Path, options: SessionOptions) -> "Sums":
        return Sums(exact=options.exact_int8)


class Curable(Saturating):
    """An engine whose convolutions saturate, with exact INT8."""

    name = "curable"
    has_exact_int8 = True


class Sums:
    instances = 1
    info = SessionInfo("fake", "0", "cpu", "fp32", 1)

    def __init__(self, *, exact: bool) -> None:
        self._exact = exact

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        sums = np.ones((1, 32), np.float32)
        sums[:, :16] = 1.0 if self._exact else 0.506
        return sums

    def close(self) -> None:
        pass


def test_names_the_operators_that_saturate():
    assert saturating(Saturating(), SessionOptions()) == ("convolution",)


def test_only_cpus_saturate():
    assert saturating(Saturating(), SessionOptions(device="gpu")) == ()


def test_requests_exact_sums_if_they_help():
    assert without_saturation(Curable(), SessionOptions()).exact_int8
    assert not without_saturation(Saturating(), SessionOptions()).exact_int8
    assert saturating(Curable(), without_saturation(Curable(), SessionOptions())) == ()


def test_onnx_runtime_has_exact_int8():
    assert saturating(get_engine("onnxruntime"), SessionOptions(exact_int8=True)) == ()


def test_full_range_proof_holds_on_onnx_runtime(full_range: Bundle):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session = open_session(full_range, engine="onnxruntime", strict=True)
    assert replay(full_range.self_test(), session, full_range.manifest.preprocessing).holds


@ENGINES
def test_warns_without_exact_int8(engine: str, full_range: Bundle):
    opened = get_engine(engine)
    if saturating(opened, without_saturation(opened, SessionOptions())):
        with pytest.warns(SaturationWarning, match=f"full-range weights saturate on {engine} here"):
            open_session(full_range, engine=engine)
        with pytest.raises(EngineError, match="quantize without --full-range"):
            open_session(full_range, engine=engine, strict=True)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            open_session(full_range, engine=engine, strict=True)


def emulated_command(processor: Processor, *arguments: object) -> tuple[int, str, str]:
    done = processor.run("-m", "edgecnn", *map(str, arguments))
    errors = [line for line in done.stderr.splitlines() if "TCG" not in line]
    return done.returncode, done.stdout, "\n".join(errors)


def emulated_verify(processor: Processor, bundle: Bundle, engine: str) -> tuple[int, str, str]:
    return emulated_command(processor, "verify", bundle.path, "--engine", engine)


@emulated
@pytest.mark.parametrize(
    ("processor", "expected"), [(HASWELL, "('convolution', 'matrix product')"), (NEHALEM, "()")], ids=["avx2", "sse4"]
)
def test_detects_saturation_on_an_emulated_cpu(processor: Processor, expected: str):
    code = "from edgecnn.runtime.engines.registry import get_engine\n"
    code += "from edgecnn.runtime.engines.engine import SessionOptions\n"
    code += "from edgecnn.runtime.engines.saturation import saturating\n"
    code += "print(saturating(get_engine('onnxruntime'), SessionOptions()))"
    assert processor.run("-c", code).stdout.strip() == expected


@emulated
def test_simulation_matches_an_emulated_cpu(full_range: Bundle):
    from edgecnn.pipeline.quantization.simulation import simulate

    images = full_range.self_test().images
    exact = get_engine("onnxruntime").open(full_range.model, SessionOptions(exact_int8=True)).run(images)
    found = emulated_logits(HASWELL, full_range.model, images=images)
    predicted = simulate(full_range.model).run(images)
    assert np.abs(found - exact).max() > 0.1
    same = np.isclose(predicted, found, atol=1e-4).all(axis=1)
    assert same.mean() >= 0.9  # values halfway between two steps can be rounded up or down
    assert np.abs(predicted - found).max() < 0.1 * np.abs(found - exact).max()


@emulated
def test_verify_warns_without_vnni(full_range: Bundle):
    pytest.importorskip("openvino")
    code, out, err = emulated_verify(HASWELL, full_range, "openvino")
    assert err.startswith("warning: full-range weights saturate on openvino here (convolution, matrix product)")
    assert code == (0 if "the proof holds" in out else 3)  # kernels for this network may differ from the probe's


@emulated
@pytest.mark.parametrize(
    "command",
    [("verify",), ("predict", "calibration/digits-sample/train/7/1.png"), ("serve", "--port", "0")],
    ids=["verify", "predict", "serve"],
)
def test_strict_rejects_full_range_without_vnni(command: tuple[str, ...], full_range: Bundle):
    pytest.importorskip("openvino")
    name, *rest = command
    code, out, err = emulated_command(HASWELL, name, full_range.path, *rest, "--engine", "openvino", "--strict")
    assert (code, out) == (1, "")
    assert "full-range weights saturate on openvino here (convolution, matrix product)" in err
    assert "quantize without --full-range, or use another engine" in err


@emulated
def test_self_test_detects_saturation(full_range: Bundle):
    self_test = full_range.self_test()
    found = emulated_logits(HASWELL, full_range.model, images=self_test.images)
    assert np.abs(found - self_test.logits).max() > self_test.tolerance


@emulated
def test_exact_int8_avoids_saturation(full_range: Bundle):
    code, out, err = emulated_verify(HASWELL, full_range, "onnxruntime")
    assert code == 0, err
    assert "the proof holds\n  full-range weights would saturate on this machine: onnxruntime uses exact INT8" in out


@emulated
@pytest.mark.parametrize("processor", [HASWELL, NEHALEM], ids=["avx2", "sse4"])
@ENGINES
def test_portable_proof_holds_on_old_processors(processor: Processor, engine: str, committed: Bundle):
    code, out, err = emulated_verify(processor, committed, engine)
    assert code == 0, err
    assert out.endswith("the proof holds\n")


@ENGINES
def test_opens_a_portable_bundle_without_warnings(engine: str, committed: Bundle):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_session(committed, engine=engine, strict=True)


def test_cli_warns_in_one_line(edgecnn, full_range: Bundle):
    found = edgecnn("predict", full_range.path, "calibration/digits-sample/train/7/1.png", "--engine", "openvino")
    expected = bool(saturating(get_engine("openvino"), SessionOptions()))
    assert found.code == 0
    assert found.err.startswith("warning: full-range weights") == expected
    strict = edgecnn(
        "predict", full_range.path, "calibration/digits-sample/train/7/1.png", "--engine", "openvino", "--strict"
    )
    assert strict.code == (1 if expected else 0)
