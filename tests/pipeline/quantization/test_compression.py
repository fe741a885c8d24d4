"""Tests of linear layers in 4 bits: their values on each engine, their choice, and the decision of the gate."""

import dataclasses

import numpy as np
import onnx
import pytest
from graphs import image_model, images, weights
from onnx import helper

from edgecnn.bundle.four_bits import DOMAIN, OPERATOR
from edgecnn.pipeline.canonical.canonicalising import canonicalise
from edgecnn.pipeline.quantization.block_weights import block_steps, block_weights
from edgecnn.pipeline.quantization.building import Built, build
from edgecnn.pipeline.quantization.compression import candidates, compress
from edgecnn.pipeline.quantization.gate import Gate
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.placement import place
from edgecnn.pipeline.quantization.plan import (
    QuantizationPlan,
    Range,
    activation_quantization,
    nearest,
    weight_scales,
)
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.pipeline.quantization.simulation import SimulatedSession
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import get_engine, installed
from edgecnn.runtime.rates import wilson

node = helper.make_node
OPTIONS = QuantizationOptions(linear_weights="int4")
COARSE = QuantizationOptions(linear_weights="int4", rounding="nearest")
ROUNDING_OF_INPUTS = 0.02  # of the spread of the logits: engines round the inputs of a block to 8 bits


def linear(side: int, outputs: int) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """Return a graph with one linear layer of 3 · side² inputs, its weights and its bias.

    The sides of the test give 1, 2, 4, 6 and 19 blocks. The last block is short, except with the side 16.
    """
    own = weights(outputs, 3 * side**2), weights(outputs, seed=1)
    nodes = [
        node("Flatten", ["x"], ["flat"], "flat"),
        node("Gemm", ["flat", "w", "b"], ["logits"], "fc/Gemm", transB=1),
    ]
    return image_model(nodes, {"w": own[0], "b": own[1]}, side=side, classes=outputs), *own


@pytest.mark.parametrize("engine", installed())
@pytest.mark.parametrize(("side", "outputs"), [(4, 1401), (8, 401), (12, 160), (16, 96), (28, 64)])
def test_equals_the_product_with_dequantized_weights(engine: str, side: int, outputs: int):
    model, own, bias = linear(side, outputs)
    steps = block_steps(own)
    packed = block_weights(steps, steps.nearest(own))
    placement = place(model.graph, four_bits=["w"])
    assert placement.four_bits == ("w",)
    made = rewrite(model, placement, QuantizationPlan({}, {}, {}, four_bits={"w": packed}))
    pixels = images(5, side=side)
    inputs = (pixels.transpose(0, 3, 1, 2).reshape(5, -1) / 255).astype(np.float32)
    expected = inputs @ packed.rounded().T + bias
    session = get_engine(engine).open(made.SerializeToString(), SessionOptions(threads=1))
    for count in (1, 5):
        assert session.run(pixels[:count]) == pytest.approx(
            expected[:count], abs=ROUNDING_OF_INPUTS * float(expected.std())
        )
    session.close()


def network(*, hidden: int = 200) -> onnx.ModelProto:
    """Return a random network with two large linear layers and a small one."""
    shapes = {"conv": (8, 3, 3, 3), "fc1": (hidden, 8 * 12 * 12), "fc2": (120, hidden), "fc3": (5, 120)}
    constants = {f"{name}.weight": 1.5 * weights(*shape, seed=4) for name, shape in shapes.items()}
    constants |= {f"{name}.bias": 0.1 * weights(shape[0], seed=5) for name, shape in shapes.items()}
    nodes = [
        node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], "conv/Conv", pads=[1] * 4, kernel_shape=[3, 3]),
        node("Relu", ["c"], ["cr"], "relu/Relu"),
        node("Flatten", ["cr"], ["flat"], "flatten/Flatten"),
        node("Gemm", ["flat", "fc1.weight", "fc1.bias"], ["y1"], "fc1/Gemm", transB=1),
        node("Relu", ["y1"], ["r1"], "relu1/Relu"),
        node("Gemm", ["r1", "fc2.weight", "fc2.bias"], ["y2"], "fc2/Gemm", transB=1),
        node("Relu", ["y2"], ["r2"], "relu2/Relu"),
        node("Gemm", ["r2", "fc3.weight", "fc3.bias"], ["logits"], "fc3/Gemm", transB=1),
    ]
    return image_model(nodes, constants)


@pytest.fixture(scope="module")
def without_gate() -> Built:
    return build(network(), images(60), options=OPTIONS)


def test_without_a_gate_every_large_linear_layer_has_4_bits(without_gate: Built):
    assert without_gate.weights == {
        "conv.weight": "int8",
        "fc1.weight": "int4",
        "fc2.weight": "int4",
        "fc3.weight": "fp32",
    }
    assert not {"fc1.weight", "fc2.weight"} & set(without_gate.placement.float_tensors)
    nodes = [each for each in without_gate.model.graph.node if each.op_type == OPERATOR]
    assert [each.domain for each in nodes] == [DOMAIN] * 2
    found = {each.name: each.i for each in nodes[0].attribute}
    assert found == {"K": 1152, "N": 200, "bits": 4, "block_size": 128, "accuracy_level": 4}
    saved = {each.layer: each.four_bits.saved_bytes for each in without_gate.layers if each.four_bits}
    assert 0.8 * 200 * 1152 / 2 < saved["fc1"] < 200 * 1152 / 2
    assert saved["fc1"] > saved["fc2"] > 0


def test_a_convolution_before_4_bits_runs_in_int8(without_gate: Built):
    readers = [each for each in without_gate.model.graph.node if "c" in each.input]
    assert [each.op_type for each in readers] == ["Relu"]
    assert "cr" in without_gate.placement.activations
    assert not {"r1", "r2"} & without_gate.placement.activations.keys()  # floats between float operators


def test_both_engines_have_the_logits_of_the_network(without_gate: Built):
    fresh = images(80)[60:]
    expected = trial_logits(network(), fresh)
    spread = float(expected.std())
    for engine in installed():
        session = get_engine(engine).open(without_gate.model.SerializeToString(), SessionOptions(threads=1))
        assert np.sqrt(np.mean((session.run(fresh) - expected) ** 2)) < 0.1 * spread
        session.close()


def test_rounding_together_has_a_smaller_error_than_nearest(without_gate: Built):
    fresh = images(160)[60:]
    coarse = build(network(), images(60), options=COARSE)
    expected = trial_logits(network(), fresh)
    errors = [np.mean((trial_logits(each.model, fresh) - expected) ** 2) for each in (without_gate, coarse)]
    assert errors[0] < 0.7 * errors[1]


def test_the_simulation_of_old_processors_leaves_4_bits_as_they_are(without_gate: Built):
    session = SimulatedSession(without_gate.model)
    expected = trial_logits(without_gate.model, images())
    assert session.run(images()) == pytest.approx(expected, abs=1e-3 * float(expected.std()))
    session.close()


def gated(min_agreement: float | None, max_drop: float = 1.0) -> Gate:
    return Gate(images(300), None, max_drop, certify=False, min_agreement=min_agreement)


def bits(built: Built) -> dict[str, str]:
    return {name: kind for name, kind in built.weights.items() if name in ("fc1.weight", "fc2.weight")}


def test_the_gate_keeps_layers_within_its_limits():
    found = build(network(), images(60), options=COARSE, gate=gated(0.5))
    assert bits(found) == {"fc1.weight": "int4", "fc2.weight": "int4"}
    assert found.gated is not None
    assert found.gated.agreement >= 0.5
    reports = {each.layer: each.four_bits for each in found.layers}
    for layer in ("fc1", "fc2"):
        report = reports[layer]
        assert report is not None
        assert report.reason is None
        assert report.needed == 0.5
        assert report.drop is not None
        assert report.agreement is not None
        assert report.agreement >= 0.5
    assert reports["conv"] is None
    assert reports["fc2"] is not None
    assert reports["fc2"].agreement == found.gated.agreement  # the last one that was tried


def test_the_gate_returns_layers_that_agree_less_often_than_int8():
    found = build(network(), images(60), options=COARSE, gate=gated(None))
    assert set(bits(found).values()) == {"int8"}
    logits = [trial_logits(model, images(300)).argmax(axis=1) for model in (network(), found.model)]
    least, _ = wilson(int((logits[0] == logits[1]).sum()), 300)
    reports = [each.four_bits for each in found.layers if each.four_bits is not None]
    assert len(reports) == 2
    for report in reports:
        assert report.needed == least
        assert report.agreement is not None
        assert report.agreement < least
        assert report.reason is not None
        assert report.reason.startswith("gate: 4 bits cost")
        assert f"agrees with FP32 on {report.agreement:.2%}" in report.reason


def test_a_drop_returns_layers_to_8_bits():
    plain = build(network(), images(60), options=dataclasses.replace(COARSE, linear_weights="int8")).model
    targets = trial_logits(plain, images(300)).argmax(axis=1)
    gate = dataclasses.replace(gated(0.0, max_drop=0.0), targets=targets)
    found = build(network(), images(60), options=COARSE, gate=gate)
    assert bits(found)["fc1.weight"] == "int8"
    assert found.gated is not None
    assert found.gated.after.drop <= 0


def test_layers_in_float_stay_there():
    model = canonicalise(network())
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    placement = place(model.graph, {"fc1": "gate: tried"})
    fine = activation_quantization(Range(0.0, 1.0))
    integers = {name: nearest(constants[name], weight_scales(constants[name], 64), 64) for name in placement.weights}
    plan = QuantizationPlan(dict.fromkeys(placement.activations, fine), integers, placement.float_tensors)
    found = compress(model, placement, plan, (), calibration=None, gate=None)
    assert found.placement.four_bits == ("fc2.weight",)
    assert found.placement.float_tensors["fc1.weight"] == "gate: tried"
    rewrite(model, found.placement, found.plan)


def test_layers_that_run_at_several_places_stay_in_int8():
    nodes = [
        node("Reshape", ["x", "shape"], ["tokens"], "tokens"),
        node("MatMul", ["tokens", "w"], ["mixed"], "mix/MatMul"),
        node("Flatten", ["mixed"], ["flat"], "flat"),
        node("Gemm", ["flat", "v"], ["logits"], "fc/Gemm", transB=1),
    ]
    constants = {"shape": np.array([0, 4, 108]), "w": weights(200, 108).T.copy(), "v": weights(100, 800)}
    model = canonicalise(image_model(nodes, constants, classes=100))
    placement = place(model.graph)
    assert len(placement.weights) == 2
    assert [each.name for each in candidates(model, placement)] == ["fc/Gemm"]


def test_a_layer_without_a_bias_has_no_sum():
    nodes = [node("Flatten", ["x"], ["flat"], "flat"), node("Gemm", ["flat", "v"], ["logits"], "fc/Gemm", transB=1)]
    own = weights(200, 432)
    model = image_model(nodes, {"v": own}, classes=200)
    steps = block_steps(own)
    packed = block_weights(steps, steps.nearest(own))
    made = rewrite(model, place(model.graph, four_bits=["v"]), QuantizationPlan({}, {}, {}, four_bits={"v": packed}))
    assert [each.op_type for each in made.graph.node] == ["Transpose", "Cast", "Div", "Flatten", OPERATOR]
    expected = trial_logits(model, images())
    assert trial_logits(made, images()) == pytest.approx(expected, abs=0.3 * float(expected.std()))


def test_the_largest_layer_is_tried_first():
    model = canonicalise(network(hidden=400))
    assert [each.name for each in candidates(model, place(model.graph))] == ["fc1/Gemm", "fc2/Gemm"]


def test_fp16_rejects_the_option():
    with pytest.raises(ValueError, match="linear_weights applies to INT8 only"):
        QuantizationOptions(precision="fp16", linear_weights="int4")
