"""Tests of the values of layers: equal to PyTorch's in FP32, and to the served ones in INT8, on both engines."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import photographs
from torch import nn
from untrained import untrained

from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError, EngineError
from edgecnn.explaining.tracing import TracedGraph
from edgecnn.pipeline.torch_reference import TorchReference
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.transforms import network_input
from edgecnn.runtime.classifier import load

ENGINES = ("onnxruntime", "openvino")


def module_outputs(network: nn.Module, inputs: torch.Tensor) -> dict[str, list[np.ndarray]]:
    """Return the outputs of each inner module of a PyTorch network, one for each call."""
    found: dict[str, list[np.ndarray]] = {}

    def hook_for(name: str) -> Callable[..., None]:
        return lambda module, arguments, output: found.setdefault(name, []).append(output[0].numpy().copy())

    for name, module in network.named_modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # it would change the output of the module before it
        module.register_forward_hook(hook_for(name))
    with torch.inference_mode():
        network(inputs)
    return found


def check_against_pytorch(bundle: Bundle, reference: TorchReference, image: np.ndarray, engine: str) -> int:
    """Check that each layer that is named after a module has a module's output. Return the number of such layers."""
    expected = module_outputs(reference.module(), network_input(image[None], reference.preprocessing))
    every = [each for outputs in expected.values() for each in outputs]
    compared = 0
    with contextlib.closing(TracedGraph(bundle, engine=engine)) as traced:
        values = traced.values(image)
        for layer in traced.layers:
            own = values[layer.tensor]
            if layer.operation not in ("conv", "relu", "linear", "max_pool", "concat"):
                continue
            # A convolution includes the batch norm behind it, whose output it has.
            close = [
                each
                for each in every
                if each.shape == own.shape and np.abs(each - own).max() <= 1e-4 * max(1e-6, np.abs(each).max())
            ]
            assert close, f"{layer.id} on {engine}"
            compared += 1
    return compared


@pytest.mark.parametrize("engine", ENGINES)
def test_maps_of_lenet_equal_pytorch(engine: str, fp32_bundle: Bundle, checkpoint_path: Path):
    reference = read_checkpoint(checkpoint_path).reference
    assert check_against_pytorch(fp32_bundle, reference, fp32_bundle.self_test().images[3], engine) == 11


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "layers"), [("resnet18", 39), ("googlenet", 137)])
def test_maps_of_deep_networks_equal_pytorch(name: str, layers: int, engine: str, tmp_path: Path):
    bundle, reference = untrained(name, tmp_path)
    image = reference.preprocessing.image(photographs()[0])
    assert check_against_pytorch(bundle, reference, image, engine) == layers


@pytest.mark.parametrize("engine", ENGINES)
def test_logits_equal_the_served_ones(engine: str, fp32_bundle: Bundle, committed: Bundle):
    for bundle in (fp32_bundle, committed):
        images = bundle.self_test().images
        with load(bundle, engine=engine) as served, contextlib.closing(TracedGraph(bundle, engine=engine)) as traced:
            expected = served.logits(images)
            assert np.abs(traced.logits(images) - expected).max() <= 1e-5
            one = np.stack([traced.values(image)["logits"] for image in images[:4]])
            assert np.abs(one - expected[:4]).max() <= 1e-5
            assert traced.info.engine == engine


@pytest.mark.parametrize("engine", ENGINES)
def test_int8_values_are_what_the_next_layer_reads(engine: str, committed: Bundle):
    image = committed.self_test().images[0]
    with contextlib.closing(TracedGraph(committed, engine=engine)) as traced:
        values = traced.values(image)
        (relu,) = (each for each in traced.layers if each.id == "relu/Relu")
        scale = traced.constants.values("relu/Relu/scale")
        steps = values[relu.tensor] / scale
        assert np.abs(steps - np.rint(steps)).max() < 1e-3
        (inner,) = (each for each in traced.layers if each.id == "conv1/Conv")
        assert inner.is_inner
        # A step of rounding is the only difference between a convolution and the ReLU that includes it.
        top = 255 * float(scale)
        assert np.abs(np.clip(values[inner.tensor], 0, top) - values[relu.tensor]).max() <= 1.01 * scale


def test_returns_only_the_values_that_are_wanted(committed: Bundle):
    image = committed.self_test().images[0]
    with contextlib.closing(TracedGraph(committed, engine="onnxruntime")) as traced:
        assert set(traced.values(image, ["conv1/Conv"])) == {"conv1/Conv"}


def test_a_closed_graph_and_a_missing_file_are_refused(committed: Bundle, tmp_path: Path):
    traced = TracedGraph(committed, engine="onnxruntime")
    traced.close()
    with pytest.raises(EngineError, match="closed"):
        traced.logits(committed.self_test().images)
    with pytest.raises(BundleError, match="cannot read"):
        TracedGraph(Bundle(tmp_path, committed.manifest, committed.digest))


def test_logits_that_are_not_finite_are_refused(bundle_copy: Path):
    import onnx
    from broken_models import graph, reseal
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["product"]),
        helper.make_node("Log", ["product"], ["logits"]),
    ]
    weights = onnx.numpy_helper.from_array(-np.ones((1024, 10), np.float32), "w")
    bundle = open_bundle(reseal(bundle_copy, graph(nodes, initializers=(weights,))))
    with contextlib.closing(TracedGraph(bundle)) as traced, pytest.raises(EngineError, match="not finite"):
        traced.values(np.full((32, 32, 1), 9, np.uint8))
