"""Linear layers with 4-bit weights: exact sums on every processor, and engines that lack the operator."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from four_bit_graphs import COMMITTED_NAME, extreme_images, extremes, four_bit_bundle, linear
from marks import emulated, on_an_arm

from benchmarks.devices.emulation import CORTEX_A72, HASWELL, NEHALEM, Processor, emulated_logits
from edgecnn.bundle.four_bits import OPERATOR, dequantized, pack, pack_zero_points
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import OperatorMissing
from edgecnn.runtime.engines import four_bits, registry
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.four_bits import check_sums, refusal_of_four_bits
from edgecnn.runtime.engines.openvino import OpenVinoEngine
from edgecnn.runtime.engines.registry import get_engine, installed
from edgecnn.runtime.opening import open_session

ENGINES = pytest.mark.parametrize("engine", installed())
IMAGES, OUTPUTS = 9, 32
TOLERANCE = 1e-3
"""Of sums up to 127.5. A pair of products that saturates would change a sum by far more."""


def exact_logits(layer: tuple[np.ndarray, np.ndarray, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Return the logits of `linear` in float64."""
    integers, zero_points, scales = layer
    weights = dequantized(pack(integers), scales, pack_zero_points(zero_points), integers.shape[1])
    centred: np.ndarray = images.reshape(len(images), -1) - 127.5
    return centred @ weights.astype(np.float64).T


@ENGINES
@pytest.mark.parametrize("columns", [128, 200, 1024])
def test_sums_at_the_ends_of_the_range_are_exact(engine: str, columns: int):
    layer, images = extremes(OUTPUTS, columns), extreme_images(IMAGES, columns)
    session = get_engine(engine).open(linear(*layer).SerializeToString(), SessionOptions(threads=1))
    expected = exact_logits(layer, images)
    np.testing.assert_allclose(session.run(images), expected, atol=TOLERANCE)
    np.testing.assert_allclose(session.run(images[:1]), expected[:1], atol=TOLERANCE)


def emulated_sums_are_exact(processor: Processor, engine: str, folder: Path) -> None:
    for columns in (200, 1024):
        layer, images = extremes(OUTPUTS, columns), extreme_images(IMAGES, columns)
        onnx.save(linear(*layer), folder / "model.onnx")
        found = emulated_logits(processor, folder / "model.onnx", images=images, engine=engine)
        np.testing.assert_allclose(found, exact_logits(layer, images), atol=TOLERANCE)


@emulated
@ENGINES
@pytest.mark.parametrize("processor", [HASWELL, NEHALEM], ids=["avx2", "sse4"])
def test_sums_are_exact_on_old_processors(processor: Processor, engine: str, tmp_path: Path):
    emulated_sums_are_exact(processor, engine, tmp_path)


class TestOnAnArm:
    pytestmark = on_an_arm

    @ENGINES
    def test_sums_are_exact(self, engine: str, tmp_path: Path):
        emulated_sums_are_exact(CORTEX_A72, engine, tmp_path)


@ENGINES
def test_installed_engines_run_4_bit_layers(engine: str):
    assert refusal_of_four_bits(get_engine(engine), SessionOptions()) is None


def test_reports_wrong_sums():
    exact = np.repeat([[1.0, -1], [-1, 1]], 16, axis=1)
    assert check_sums(exact) is None
    assert check_sums(exact * 0.5) == "sums of 4-bit weights are wrong: expected 1 or -1, found an error of 0.5"


def test_engines_agree_on_a_bundle(tmp_path: Path):
    bundle = open_bundle(four_bit_bundle(tmp_path / "b").path)
    assert bundle.manifest.graph.four_bits == (COMMITTED_NAME,)
    images, reference = bundle.self_test().images, bundle.self_test().logits
    first, second = (open_session(bundle, engine=engine).run(images) for engine in installed())
    np.testing.assert_allclose(first, second, atol=0.1)  # logits spread by 8; only some kernels round their input
    assert (first.argmax(axis=1) == reference.argmax(axis=1)).all()


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let OpenVINO reject 4-bit layers in the words of version 2024.4."""

    def read(engine: OpenVinoEngine, model: Path | bytes) -> None:
        raise RuntimeError(
            "Exception from src/inference/src/cpp/core.cpp:121:\nCheck 'false' failed at frontend.cpp:144:\n"
            "FrontEnd API failed with GeneralFailure:\n"
            "OpenVINO does not support the following ONNX operations: com.microsoft.MatMulNBits\n\n"
        )

    monkeypatch.setattr(OpenVinoEngine, "_read", read)
    monkeypatch.setattr(OpenVinoEngine, "version", "2024.4.0")


REMEDY = "upgrade it to 2025.3 or later, use another engine, or quantize with --linear-weights int8"


@pytest.mark.usefixtures("earlier")
def test_names_an_engine_without_the_operator():
    with pytest.raises(OperatorMissing) as raised:
        get_engine("openvino").open(four_bits.GRAPH, SessionOptions())
    message = str(raised.value)
    assert message.startswith(f"OpenVINO 2024.4.0 cannot load {four_bits.GRAPH} for cpu: it lacks com.microsoft.")
    assert REMEDY in message
    assert "\n" not in message
    refusal = refusal_of_four_bits(get_engine("openvino"), SessionOptions())
    assert refusal == message


@pytest.mark.usefixtures("earlier")
def test_verify_names_an_engine_without_the_operator(edgecnn, tmp_path: Path):
    result = edgecnn("verify", four_bit_bundle(tmp_path / "b").path, "--engine", "openvino")
    assert (result.code, result.out) == (1, "")
    assert "error: OpenVINO 2024.4.0 cannot load" in result.error
    assert REMEDY in result.error


@pytest.mark.usefixtures("earlier")
def test_auto_does_not_switch_to_another_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(registry, "installed", lambda: ("openvino", "onnxruntime"))
    with pytest.raises(OperatorMissing, match=r"OpenVINO 2024\.4\.0 cannot load"):
        open_session(four_bit_bundle(tmp_path / "b"))


def test_onnx_runtime_without_an_attribute_of_the_operator():
    model = linear(*extremes(OUTPUTS, 128))
    node = next(each for each in model.graph.node if each.op_type == OPERATOR)
    node.attribute.append(onnx.helper.make_attribute("of_a_later_version", 1))  # as accuracy_level is for 1.16
    with pytest.raises(OperatorMissing, match=r"ONNX Runtime \S+ cannot load the graph: it lacks com\.microsoft\.Mat"):
        get_engine("onnxruntime").open(model.SerializeToString(), SessionOptions())
