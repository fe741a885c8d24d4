"""Tests of contributions: with bias and rest they sum to the logit."""

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import image_model, images, weights
from onnx import helper
from photographs import photographs
from untrained import untrained

from edgecnn.bundle.store import Bundle
from edgecnn.explaining.constants import Constants
from edgecnn.explaining.contributions import Head, head_of
from edgecnn.explaining.explanation import Contributions
from edgecnn.explaining.graph import read_graph, with_outputs
from edgecnn.explaining.layers import layers_of
from edgecnn.explaining.memory import elements_of
from edgecnn.explaining.tracing import TracedGraph
from edgecnn.pipeline.quantization.block_weights import block_steps, block_weights
from edgecnn.pipeline.quantization.placement import place
from edgecnn.pipeline.quantization.plan import QuantizationPlan
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import get_engine

node = helper.make_node
POOLED = [node("GlobalAveragePool", ["x"], ["p"]), node("Flatten", ["p"], ["f"])]
W, B = weights(5, 3), weights(5, seed=2)
HEADS: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    "Gemm": ([*POOLED, node("Gemm", ["f", "w", "b"], ["logits"], transB=1)], {"w": W, "b": B}),
    "Gemm with factors": (
        [*POOLED, node("Gemm", ["f", "w", "b"], ["logits"], alpha=0.5, beta=2.0)],
        {"w": W.T.copy(), "b": B},
    ),
    "Gemm without bias": ([*POOLED, node("Gemm", ["f", "w"], ["logits"], transB=1)], {"w": W}),
    "MatMul and Add": (
        [*POOLED, node("MatMul", ["f", "w"], ["m"]), node("Add", ["m", "b"], ["logits"])],
        {"w": W.T.copy(), "b": B},
    ),
    "convolution": (
        [
            POOLED[0],
            node("Conv", ["p", "w", "b"], ["c"], kernel_shape=[1, 1]),
            node("Flatten", ["c"], ["flat"]),
            node("Identity", ["flat"], ["logits"]),
        ],
        {"w": W.reshape(5, 3, 1, 1), "b": B},
    ),
}


def total(found: Contributions) -> float:
    return sum(value * weight for _, value, weight in found.largest) + found.rest + found.bias


def close(found: Contributions, logit: float) -> bool:
    return abs(total(found) - logit) <= 1e-5 * max(1, abs(logit)) and abs(found.logit - total(found)) <= 1e-9


@pytest.mark.parametrize("name", HEADS)
def test_every_form_of_a_linear_layer_sums_to_the_logit(name: str):
    nodes, constants = HEADS[name]
    model = image_model(nodes, constants).SerializeToString()
    graph = read_graph(model)
    known = Constants(graph)
    head = head_of(layers_of(graph, known), known, 5)
    session = get_engine("onnxruntime").open(with_outputs(model, [head.tensor]), SessionOptions(threads=1))
    logits, inputs = session.outputs(["logits", head.tensor], images(1))
    assert all(close(head.contributions(inputs[0], target), float(logits[0, target])) for target in range(5))


@pytest.mark.parametrize("bias", ["b", ""])
def test_a_layer_in_4_bits_sums_to_the_logit(bias: str):
    matrix = weights(100, 432)
    steps = block_steps(matrix)
    packed = block_weights(steps, steps.nearest(matrix))
    inputs = ["f", "w", bias] if bias else ["f", "w"]
    nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", inputs, ["logits"], "fc/Gemm", transB=1)]
    model = image_model(nodes, {"w": matrix, "b": weights(100)}, classes=100)
    plan = QuantizationPlan({}, {}, {}, four_bits={"w": packed})
    content = rewrite(model, place(model.graph, four_bits=["w"]), plan).SerializeToString()
    graph = read_graph(content)
    known = Constants(graph)
    layers = layers_of(graph, known)
    head = head_of(layers, known, 100)
    assert head is not None
    shape = (12, 12, 3)
    assert elements_of(layers, shape, known) - elements_of(layers[:-1], shape, known) == 100
    session = get_engine("openvino").open(with_outputs(content, [head.tensor]), SessionOptions(threads=1))
    logits, values = session.outputs(["logits", head.tensor], images(1))
    spread = float(logits.std())
    for target in range(100):  # engines may round the inputs to 8 bits
        assert total(head.contributions(values[0], target)) == pytest.approx(logits[0, target], abs=0.02 * spread)


def test_a_binary_classifier_has_contributions_to_its_second_logit():
    nodes = [*POOLED, node("Gemm", ["f", "w", "b"], ["z"], transB=1), node("Pad", ["z", "pads"], ["logits"])]
    model = image_model(nodes, {"w": W[:1], "b": B[:1], "pads": np.array([0, 1, 0, 0])}, classes=2).SerializeToString()
    graph = read_graph(model)
    known = Constants(graph)
    head = head_of(layers_of(graph, known), known, 2)
    session = get_engine("onnxruntime").open(with_outputs(model, [head.tensor]), SessionOptions(threads=1))
    logits, inputs = session.outputs(["logits", head.tensor], images(1))
    assert logits[0, 0] == 0 == total(head.contributions(inputs[0], 0))
    assert close(head.contributions(inputs[0], 1), float(logits[0, 1]))


@pytest.mark.parametrize(
    "nodes",
    [
        [*POOLED, node("Gemm", ["f", "w", "b"], ["s"], transB=1), node("Sigmoid", ["s"], ["logits"])],
        [*POOLED, node("Gemm", ["f", "w"], ["one"], transB=1), node("Add", ["one", "one"], ["logits"])],
        [node("Conv", ["x", "wide"], ["c"], kernel_shape=[12, 12]), node("Flatten", ["c"], ["logits"])],
    ],
)
def test_other_ends_have_no_contributions(nodes: list[onnx.NodeProto]):
    graph = read_graph(image_model(nodes, {"w": W, "b": B, "wide": weights(5, 3, 12, 12)}).SerializeToString())
    known = Constants(graph)
    assert head_of(layers_of(graph, known), known, 5) is None
    assert head_of((), known, 5) is None


def test_the_largest_come_first_and_the_rest_is_summed():
    inputs, matrix = np.linspace(-2, 3, 100), np.random.default_rng(0).normal(size=(2, 100))
    found = Head("f", matrix, np.array([0.25, 0.5])).contributions(inputs.reshape(4, 5, 5), 1)
    terms = [abs(value * weight) for _, value, weight in found.largest]
    assert len(terms) == 32
    assert terms == sorted(terms, reverse=True)
    assert found.logit == pytest.approx(float(inputs @ matrix[1] + 0.5))
    assert all(inputs[number] == value and matrix[1, number] == weight for number, value, weight in found.largest)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_sums_equal_the_logits_of_lenet(engine: str, fp32_bundle: Bundle, committed: Bundle):
    for bundle in (fp32_bundle, committed):
        check_bundle(bundle, engine)


@pytest.mark.slow
def test_sums_equal_the_logits_with_full_range(full_range: Bundle):
    check_bundle(full_range, "onnxruntime")


def check_bundle(bundle: Bundle, engine: str) -> None:
    with contextlib.closing(TracedGraph(bundle, engine=engine)) as traced:
        for image in bundle.self_test().images[:3]:
            values = traced.values(image)
            for target, logit in enumerate(values["logits"]):
                assert close(traced.head.contributions(values[traced.head.tensor], target), float(logit))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg11", "googlenet", "resnet18", "alexnet"])
def test_sums_equal_the_logits_of_deep_networks(name: str, tmp_path: Path):
    bundle, reference = untrained(name, tmp_path)
    image = reference.preprocessing.image(photographs()[1])
    with contextlib.closing(TracedGraph(bundle)) as traced:
        values = traced.values(image)
        for target in (0, 7, 999):
            found = traced.head.contributions(values[traced.head.tensor], target)
            assert close(found, float(values["logits"][target]))
