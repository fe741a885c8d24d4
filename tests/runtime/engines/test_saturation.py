"""Where INT8 sums saturate it is found out by running them; the cure is taken, or the user is told."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from marks import emulated

from benchmarks.devices.emulation import HASWELL, NEHALEM, Processor, emulated_logits
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineError, SaturationWarning
from edgecnn.runtime.engines.backend import Device, SessionInfo, SessionOptions
from edgecnn.runtime.engines.backends import get_backend, installed
from edgecnn.runtime.engines.saturation import saturating, without_saturation
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.replay import replay

ENGINES = pytest.mark.parametrize("engine", installed())


class Saturating:
    """An engine whose convolutions saturate, and which cannot help it."""

    name = "fake"
    symmetric_int8_only: frozenset[str] = frozenset()
    has_exact_int8 = False

    def devices(self) -> tuple[Device, ...]:
        return (Device("cpu", "fake"),)

    def open(self, model: Path, options: SessionOptions) -> "Sums":
        return Sums(exact=options.exact_int8)


class Curable(Saturating):
    """The same, with a slower way that is exact."""

    name = "curable"
    has_exact_int8 = True


class Sums:
    concurrency = 1
    info = SessionInfo("fake", "0", "cpu", "fp32", 1)

    def __init__(self, *, exact: bool) -> None:
        self._exact = exact

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        sums = np.ones((1, 32), np.float32)
        sums[:, :16] = 1.0 if self._exact else 0.506
        return sums

    def close(self) -> None:
        pass


def test_the_operators_that_saturate_are_named():
    assert saturating(Saturating(), SessionOptions()) == ("convolution",)


def test_only_processors_saturate():
    assert saturating(Saturating(), SessionOptions(device="gpu")) == ()


def test_exact_sums_are_asked_for_where_they_help_and_only_there():
    assert without_saturation(Curable(), SessionOptions()).exact_int8
    assert not without_saturation(Saturating(), SessionOptions()).exact_int8
    assert saturating(Curable(), without_saturation(Curable(), SessionOptions())) == ()


def test_onnx_runtime_can_always_sum_exactly():
    assert saturating(get_backend("onnxruntime"), SessionOptions(exact_int8=True)) == ()


def test_a_full_range_bundle_holds_its_proof_on_onnx_runtime_whatever_the_processor(full_range: Bundle):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session = open_session(full_range, backend="onnxruntime", strict=True)
    assert replay(full_range.self_test(), session, full_range.manifest.preprocessing).holds


@ENGINES
def test_an_engine_that_saturates_without_cure_warns_and_strictly_refuses(engine: str, full_range: Bundle):
    backend = get_backend(engine)
    if saturating(backend, without_saturation(backend, SessionOptions())):
        with pytest.warns(SaturationWarning, match=f"full-range weights saturate on {engine} here"):
            open_session(full_range, backend=engine)
        with pytest.raises(EngineError, match="quantize without --full-range"):
            open_session(full_range, backend=engine, strict=True)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            open_session(full_range, backend=engine, strict=True)


def emulated_command(processor: Processor, *arguments: object) -> tuple[int, str, str]:
    done = processor.run("-m", "edgecnn", *map(str, arguments))
    errors = [line for line in done.stderr.splitlines() if "TCG" not in line]
    return done.returncode, done.stdout, "\n".join(errors)


def emulated_verify(processor: Processor, bundle: Bundle, engine: str) -> tuple[int, str, str]:
    return emulated_command(processor, "verify", bundle.path, "--backend", engine)


@emulated
@pytest.mark.parametrize(
    ("processor", "expected"), [(HASWELL, "('convolution', 'matrix product')"), (NEHALEM, "()")], ids=["avx2", "sse4"]
)
def test_saturation_is_found_where_it_is(processor: Processor, expected: str):
    code = "from edgecnn.runtime.engines.backends import get_backend\n"
    code += "from edgecnn.runtime.engines.backend import SessionOptions\n"
    code += "from edgecnn.runtime.engines.saturation import saturating\n"
    code += "print(saturating(get_backend('onnxruntime'), SessionOptions()))"
    assert processor.run("-c", code).stdout.strip() == expected


@emulated
def test_the_simulation_gives_the_logits_of_a_processor_without_vnni(full_range: Bundle):
    from edgecnn.pipeline.quantization.simulation import simulate

    images = full_range.self_test().images
    exact = get_backend("onnxruntime").open(full_range.model, SessionOptions(exact_int8=True)).run(images)
    found = emulated_logits(HASWELL, full_range.model, images=images)
    predicted = simulate(full_range.model).run(images)
    assert np.abs(found - exact).max() > 0.1
    same = np.isclose(predicted, found, atol=1e-4).all(axis=1)
    assert same.mean() >= 0.9  # a value between two steps may be rounded either way
    assert np.abs(predicted - found).max() < 0.1 * np.abs(found - exact).max()


@emulated
def test_verify_warns_of_a_full_range_bundle_on_a_processor_without_vnni(full_range: Bundle):
    pytest.importorskip("openvino")
    code, out, err = emulated_verify(HASWELL, full_range, "openvino")
    assert err.startswith("warning: full-range weights saturate on openvino here (convolution, matrix product)")
    assert code == (0 if "the proof holds" in out else 3)  # its kernels for this network may be others than those tried


@emulated
@pytest.mark.parametrize(
    "command",
    [("verify",), ("predict", "calibration/digits-sample/train/7/1.png"), ("serve", "--port", "0")],
    ids=["verify", "predict", "serve"],
)
def test_a_full_range_bundle_is_strictly_refused_at_load_on_a_processor_without_vnni(
    command: tuple[str, ...], full_range: Bundle
):
    pytest.importorskip("openvino")
    name, *rest = command
    code, out, err = emulated_command(HASWELL, name, full_range.path, *rest, "--backend", "openvino", "--strict")
    assert (code, out) == (1, "")
    assert "full-range weights saturate on openvino here (convolution, matrix product)" in err
    assert "quantize without --full-range, or use another engine" in err


@emulated
def test_the_self_test_catches_a_full_range_bundle_that_was_not_cured_on_a_processor_without_vnni(full_range: Bundle):
    self_test = full_range.self_test()
    found = emulated_logits(HASWELL, full_range.model, images=self_test.images)
    assert np.abs(found - self_test.logits).max() > self_test.tolerance


@emulated
def test_a_full_range_bundle_is_cured_on_a_processor_without_vnni(full_range: Bundle):
    code, out, err = emulated_verify(HASWELL, full_range, "onnxruntime")
    assert code == 0, err
    assert "the proof holds\n  full-range weights would saturate here: onnxruntime was told to sum exactly" in out


@emulated
@pytest.mark.parametrize("processor", [HASWELL, NEHALEM], ids=["avx2", "sse4"])
@ENGINES
def test_a_portable_bundle_holds_its_proof_on_older_processors(processor: Processor, engine: str, committed: Bundle):
    code, out, err = emulated_verify(processor, committed, engine)
    assert code == 0, err
    assert out.endswith("the proof holds\n")


@ENGINES
def test_a_portable_bundle_is_opened_without_a_word(engine: str, committed: Bundle):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_session(committed, backend=engine, strict=True)


def test_the_command_line_says_it_in_one_line(edgecnn, full_range: Bundle):
    found = edgecnn("predict", full_range.path, "calibration/digits-sample/train/7/1.png", "--backend", "openvino")
    expected = bool(saturating(get_backend("openvino"), SessionOptions()))
    assert found.code == 0
    assert found.err.startswith("warning: full-range weights") == expected
    strict = edgecnn(
        "predict", full_range.path, "calibration/digits-sample/train/7/1.png", "--backend", "openvino", "--strict"
    )
    assert strict.code == (1 if expected else 0)
