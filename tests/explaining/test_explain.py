"""Tests of explanations of whole bundles."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from broken_models import graph, reseal
from onnx import TensorProto, helper, numpy_helper
from untrained import untrained

from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import UsageError
from edgecnn.explaining.explain import Explainer, ExplainOptions, class_numbers, explain
from edgecnn.explaining.explanation import Explanation
from edgecnn.explaining.memory import elements_of, explaining_bytes
from edgecnn.explaining.tracing import TracedGraph
from edgecnn.files import schema
from edgecnn.runtime.classifier import load

QUICK = ExplainOptions(attended=0)


@pytest.fixture(scope="module")
def explanation(fp32_bundle: Bundle, int8_bundle: Bundle) -> Explanation:
    """Return the explanation of an INT8 bundle, compared with its FP32 parent."""
    return explain(int8_bundle, int8_bundle.self_test().images[2], compared=fp32_bundle, engine="onnxruntime")


def test_is_json_and_comes_back(explanation: Explanation):
    assert schema.parse(Explanation, schema.dump(explanation)) == explanation


def test_is_the_answer_of_the_classifier(explanation: Explanation, int8_bundle: Bundle):
    with load(int8_bundle, engine="onnxruntime") as classifier:
        found = classifier.predict(int8_bundle.self_test().images[2], top=10)
    assert [explanation.labels[number] for number in explanation.order] == [label for label, _ in found.top]
    assert explanation.probabilities[found.index] == pytest.approx(found.probability, rel=1e-6)
    assert (explanation.model, explanation.digest) == (int8_bundle.manifest.name, int8_bundle.digest)
    assert explanation.mean == pytest.approx([255 * each for each in int8_bundle.manifest.preprocessing.mean])


def test_has_every_layer_and_softmax_last(explanation: Explanation):
    operations = [each.operation for each in explanation.layers]
    assert operations == [
        *("normalize", "conv", "relu", "max_pool", "conv", "relu", "max_pool", "flatten", "linear"),
        *("relu", "linear", "relu", "linear", "softmax"),
    ]
    ids = [each.id for each in explanation.layers]
    assert len(set(ids)) == len(ids)
    for place, layer in enumerate(explanation.layers):
        assert set(layer.inputs) <= set(ids[:place])
    assert [each.shape for each in explanation.layers[6:9]] == [(16, 5, 5), (400,), (120,)]
    assert [len(each.maps) for each in explanation.layers[:8]] == [1, 6, 6, 6, 16, 16, 16, 0]
    assert [len(each.values) for each in explanation.layers[7:]] == [400, 120, 120, 84, 84, 10, 10]
    assert explanation.layers[-1].values == pytest.approx(explanation.probabilities, rel=1e-6)


def test_compares_each_layer(explanation: Explanation, fp32_bundle: Bundle):
    assert explanation.compared == fp32_bundle.manifest.name
    assert all(20 < each.snr_db <= 200 for each in explanation.layers[:-1])
    assert all(each.other is not None for layer in explanation.layers for each in layer.maps)
    first, second = (each for each in explanation.layers if each.operation == "conv")
    assert first.kernels.channels == tuple(each.channel for each in first.maps)
    assert first.kernels.values is not None
    assert second.kernels.values is None
    assert "inner-rounding" in explanation.notes
    assert "layers-differ" not in explanation.notes


def test_shows_the_most_probable_classes_and_chosen_ones(int8_bundle: Bundle):
    image = int8_bundle.self_test().images[2]
    plain = explain(int8_bundle, image)
    least = plain.order[-1]
    assert [each.target for each in plain.contributions] == list(plain.order[:5])
    assert [each.target for each in plain.attention] == list(plain.order[:3])
    found = explain(int8_bundle, image, options=ExplainOptions(classes=(str(least), plain.order[0])))
    assert [each.target for each in found.contributions] == [*plain.order[:5], least]
    assert [each.target for each in found.attention] == [*plain.order[:3], least]


def test_classes_are_names_or_numbers():
    labels = ("cat", "1", "dog", "1")
    assert class_numbers(["dog", 0, "1", 3], labels) == [2, 0, 1, 3]
    with pytest.raises(
        UsageError, match=r"unknown class 'cats' \(did you mean cat\?\): expected a number from 0 to 3, or"
    ):
        class_numbers(["cats"], labels)
    with pytest.raises(UsageError, match="unknown class '-1'"):
        class_numbers([-1], range(4))


def test_more_maps_continue_the_embedded_ones(fp32_bundle: Bundle, int8_bundle: Bundle):
    image = fp32_bundle.self_test().images[0]
    explainer = Explainer(fp32_bundle, int8_bundle)
    layer = explainer.explain(image, ExplainOptions(maps=4, attended=0)).layers[4]
    assert explainer.maps(image, layer.id, 0, 4) == layer.maps
    more = explainer.maps(image, layer.id, 4, 100)
    assert len(more) == 12
    assert {each.channel for each in (*layer.maps, *more)} == set(range(16))
    assert explainer.maps(image, layer.id, 16, 5) == ()
    assert explainer.maps(image, "logits", 0, 5) == ()
    with pytest.raises(UsageError, match="unknown layer 'nothing'"):
        explainer.maps(image, "nothing", 0, 1)
    with pytest.raises(UsageError, match="must be at least 0"):
        explainer.maps(image, layer.id, -1, 1)
    with pytest.raises(UsageError, match=r"expected uint8 \[N, 32, 32, 1\]"):
        explainer.maps(image[:8], layer.id, 0, 1)
    explainer.close()


def test_occlusion_of_further_classes_needs_no_runs(fp32_bundle: Bundle):
    images = fp32_bundle.self_test().images
    explainer = Explainer(fp32_bundle)
    runs: list[int] = []

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        runs.append(done)

    first = explainer.attend(images[0], 3, progress)
    count = len(runs)
    assert count > 0
    explainer.attend(images[0], 5, progress)
    assert len(runs) == count
    assert explainer.attend(images[0], 3, progress) == first
    assert explainer.attend(images[1], 3, progress) != first
    assert len(runs) == 2 * count
    with pytest.raises(UsageError, match="unknown class '10'"):
        explainer.attend(images[0], 10)
    explainer.close()


def test_refuses_bundles_of_other_networks(fp32_bundle: Bundle, committed: Bundle):
    with pytest.raises(UsageError, match="come from different references"):
        Explainer(fp32_bundle, committed)


def test_refuses_a_cascade(cascade_bundle: Bundle, committed: Bundle):
    for bundles in ((cascade_bundle,), (committed, cascade_bundle)):
        with pytest.raises(UsageError, match="is a cascade of two graphs"):
            Explainer(*bundles)
    with pytest.raises(UsageError, match="is a cascade of two graphs"):
        explaining_bytes(cascade_bundle)


@pytest.mark.slow
def test_several_labels_end_with_a_sigmoid(label_bundle: Bundle):
    found = explain(label_bundle, label_bundle.self_test().images[0], options=QUICK)
    last = found.layers[-1]
    assert (last.operation, last.kind) == ("activation", "Sigmoid")
    assert found.probabilities == pytest.approx(1 / (1 + np.exp(-np.array(found.logits))))


@pytest.mark.slow
def test_half_precision_has_the_layers_of_its_parent(fp16_bundle: Bundle, fp32_bundle: Bundle):
    found = explain(fp16_bundle, fp32_bundle.self_test().images[0], compared=fp32_bundle, options=QUICK)
    assert found.notes == ()
    assert [each.parameters for each in found.layers if each.parameters] == [156, 2416, 48120, 10164, 850]
    assert all(each.snr_db > 50 for each in found.layers[:-1])


def of_one_pixel(folder: Path, classes: int) -> Bundle:
    """Return a bundle for images of 1 × 1 pixel whose class names contain HTML."""
    nodes = [
        helper.make_node("Transpose", ["image"], ["planar"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planar"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "k"], ["c"], "conv/Conv", kernel_shape=[1, 1]),
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["logits"], "fc/Gemm"),
    ]
    weights = np.linspace(-1, 1, 2 * classes, dtype=np.float32).reshape(2, classes)
    constants = {"k": np.ones((2, 1, 1, 1), np.float32), "w": weights}
    tensors = tuple(numpy_helper.from_array(value, name) for name, value in constants.items())
    model = onnx.ModelProto.FromString(graph(nodes, initializers=tensors))
    for end, sizes in ((model.graph.input[0], (1, 1, 1)), (model.graph.output[0], (classes,))):
        for dimension, size in zip(end.type.tensor_type.shape.dim[1:], sizes, strict=True):
            dimension.dim_value = size
    committed = open_bundle(reseal(folder, model.SerializeToString()))
    manifest = dataclasses.replace(
        committed.manifest,
        labels=tuple(f"<b>{number}</b>" for number in range(classes)),
        input=dataclasses.replace(committed.manifest.input, shape=(None, 1, 1, 1)),
        output=dataclasses.replace(committed.manifest.output, shape=(None, classes)),
        preprocessing=dataclasses.replace(committed.manifest.preprocessing, crop=(1, 1), resize=None),
    )
    return dataclasses.replace(committed, manifest=manifest)


@pytest.mark.parametrize("classes", [2, 1000])
def test_explains_one_pixel_and_many_classes(classes: int, bundle_copy: Path):
    bundle = of_one_pixel(bundle_copy, classes)
    found = explain(bundle, np.full((1, 1), 77, np.uint8))
    assert len(found.labels) == len(found.logits) == len(found.layers[-1].values) == classes
    assert len(found.order) == min(20, classes)
    assert [each.values for each in found.layers[:1]] == [(77.0, 77.0)]
    assert len(json.dumps(schema.plain(found))) < 200_000


def test_operators_without_a_picture_are_rows(bundle_copy: Path):
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "tokens"], ["t"], "tokens/Reshape"),
        helper.make_node("Transpose", ["t"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "turned"], ["attention"]),
        helper.make_node("Div", ["attention", "zero"], ["infinite"]),
        helper.make_node("IsInf", ["infinite"], ["is"]),
        helper.make_node("Where", ["is", "one", "attention"], ["finite"]),
        helper.make_node("SplitToSequence", ["finite"], ["parts"], axis=1),
        helper.make_node("SequenceAt", ["parts", "zeroth"], ["part"]),
        helper.make_node("ReduceSum", ["part", "axis"], ["sums"], keepdims=0),
        helper.make_node("Concat", ["sums"] * 1, ["logits"], axis=1),
    ]
    constants = {
        "tokens": np.array([-1, 10, 10]),
        "zero": np.float32(0),
        "one": np.float32(1),
        "zeroth": np.array(0),
        "axis": np.array([1]),
    }
    resized = [helper.make_node("Slice", ["image", "begin", "end", "axes"], ["cut"])]
    constants |= {"begin": np.array([0, 0]), "end": np.array([10, 10]), "axes": np.array([1, 2])}
    nodes[0].input[0] = "cut"
    tensors = tuple(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    bundle = open_bundle(reseal(bundle_copy, graph([*resized, *nodes], initializers=tensors)))
    found = explain(bundle, bundle.self_test().images[0], options=QUICK)
    assert {each.operation for each in found.layers[:-1]} == {"other"}
    shapes = {each.id: each.shape for each in found.layers}
    assert (shapes["attention"], shapes["parts"]) == ((10, 10), ())
    assert {"no-contributions", "not-finite"} <= set(found.notes)
    assert json.dumps(schema.plain(found), allow_nan=False)


def test_importing_loads_no_engine_and_no_templates():
    code = "import edgecnn.explaining.explain, sys; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "onnx", "onnxruntime", "openvino", "jinja2"} & set(done.stdout.split()) == set()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), [("resnet18", 224), ("googlenet", 224), ("lenet", 32)])
def test_memory_follows_from_the_shapes(name: str, side: int, tmp_path: Path):
    bundle, _ = untrained(name, tmp_path, side=side)
    traced = TracedGraph(bundle)
    values = traced.values(np.zeros(bundle.manifest.image_shape, np.uint8))
    expected = sum(values[each.tensor].size for each in traced.layers)
    assert elements_of(traced.layers, bundle.manifest.image_shape, traced.constants) == pytest.approx(
        expected, rel=0.01
    )
    assert explaining_bytes(bundle) > 4 * bundle.size_bytes + 4 * expected
    traced.close()


@pytest.mark.slow
def test_a_network_of_152_layers_stays_readable(tmp_path: Path):
    bundle, _ = untrained("resnet152", tmp_path)
    found = explain(bundle, np.random.default_rng(0).integers(0, 255, (224, 224, 3), np.uint8), options=QUICK)
    assert len(found.layers) > 350
    assert len(json.dumps(schema.plain(found))) < 6_000_000
