"""Inspection: published counts, receptive fields compared with gradients, and graphs compared with networks."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from edgecnn.bundle.manifest import Network
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError
from edgecnn.pipeline.inspection.graph import inspect_bundle
from edgecnn.pipeline.inspection.layers import WHOLE, Field, in_short, widest
from edgecnn.pipeline.inspection.network import inspect_network
from edgecnn.pipeline.inspection.tabled import tabled_inspection
from edgecnn.pipeline.models.registry import Architecture, architectures, build, get_architecture, register

# 10⁹ multiply-accumulates of torchvision's networks at 224 × 224.
GIGA_MACS = {
    "alexnet": 0.714,
    "vgg11": 7.609,
    "vgg13": 11.308,
    "vgg16": 15.470,
    "vgg19": 19.632,
    "googlenet": 1.498,
    "resnet18": 1.814,
    "resnet34": 3.664,
    "resnet50": 4.089,
    "resnet101": 7.801,
    "resnet152": 11.514,
}


@pytest.mark.parametrize("name", GIGA_MACS)
def test_macs_match_published_values(name: str):
    assert inspect_network(get_architecture(name).usual()).macs / 1e9 == pytest.approx(GIGA_MACS[name], abs=5e-4)


@pytest.mark.parametrize("name", [architecture.name for architecture in architectures()])
def test_counts_every_parameter_once(name: str):
    network = get_architecture(name).usual()
    with torch.device("meta"):
        expected = sum(parameter.numel() for parameter in build(network).parameters())
    found = inspect_network(network)
    assert found.parameters == expected
    assert tabled_inspection(network) == found, "run python -m scripts.networks"


def test_lenet_layers_match_the_paper():
    found = {layer.name: layer for layer in inspect_network(get_architecture("lenet").usual()).layers}
    assert found["conv1"].output_shape == (6, 28, 28)
    assert (found["conv1"].parameters, found["conv1"].macs) == (156, 28 * 28 * 6 * 25)
    assert (found["conv2"].kind, found["conv2"].receptive_field) == ("Conv2d 5×5", 14)
    assert (found["fc1"].output_shape, found["fc1"].receptive_field) == ((120,), None)


def test_training_heads_come_last_without_macs():
    layers = inspect_network(get_architecture("googlenet").usual()).layers
    training = [layer for layer in layers if layer.output_shape is None]
    assert {layer.name.partition(".")[0] for layer in training} == {"aux1", "aux2"}
    assert layers[-len(training) :] == tuple(training)
    assert sum(layer.parameters for layer in training) == 13_004_888 - 6_624_904
    assert sum(layer.macs for layer in training) == 0


def test_steps_between_the_layers_are_rows():
    found = {layer.kind: layer for layer in inspect_network(get_architecture("alexnet").usual()).layers}
    assert found["Flatten"].output_shape == (9216,)
    assert (found["Dropout 0.5"].parameters, found["Dropout 0.5"].macs) == (0, 0)
    assert list(found)[-1] == "Softmax"


def test_a_network_that_is_already_flat_has_no_flatten():
    layers = inspect_network(get_architecture("resnet18").usual()).layers
    assert [layer.kind for layer in layers[-3:]] == ["global average", "Linear", "Softmax"]


@pytest.mark.parametrize(
    ("reshape", "kinds"),
    [
        (lambda x: x.flatten(1), ["Flatten", "Linear", "Softmax"]),
        (lambda x: x.view(-1, 16), ["Flatten", "Linear", "Softmax"]),
        (lambda x: x.flatten(1).flatten(1), ["Flatten", "Linear", "Softmax"]),
    ],
    ids=["flatten", "view", "flattened twice"],
)
def test_every_way_to_flatten_is_one_row(own_registry: None, reshape: Callable, kinds: list[str]):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.off = nn.Linear(16, 2), nn.Dropout(0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.off(reshape(x)))

    register(Architecture("net", lambda network: Net(), 4, min_image_size=4, in_channels=1, num_classes=2))
    found = inspect_network(Network("net", 2, 1, (4, 4)))
    assert [layer.kind for layer in found.layers] == kinds


def test_an_own_softmax_is_not_shown_twice(own_registry: None):
    def make(network: Network) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 2), nn.Softmax(1))

    register(Architecture("net", make, 4, min_image_size=4, in_channels=1, num_classes=2))
    kinds = [layer.kind for layer in inspect_network(Network("net", 2, 1, (4, 4))).layers]
    assert kinds == ["Flatten", "Linear", "Softmax"]


def test_counts_the_dense_layer_in_place_of_a_convolution(fp32_bundle: Bundle):
    for found in (inspect_network(get_architecture("lenet").usual()), inspect_bundle(fp32_bundle)):
        layers = {layer.name: layer for layer in found.layers}
        with torch.device("meta"):
            dense = nn.Linear(32 * 32, 6 * 28 * 28)
        assert layers["conv1"].dense_parameters == sum(each.numel() for each in dense.parameters()) == 4_821_600
        assert layers["fc1"].dense_parameters is None
        assert found.dense_parameters == 4_821_600 + (6 * 14 * 14 + 1) * 16 * 10 * 10
        assert (found.convolution_parameters, found.parameters) == (156 + 2_416, 61_706)


@pytest.mark.slow
def test_labels_are_scored_with_a_sigmoid(label_bundle: Bundle):
    assert inspect_bundle(label_bundle).layers[-1].kind == "Sigmoid"


def test_large_numbers_are_short():
    found = [in_short(count) for count in (0, 999, 1000, 999_499, 999_500, 4_821_600, 29_113_000_000, 2 * 10**13)]
    assert found == ["0", "999", "1 k", "999 k", "1 M", "4.82 M", "29.1 G", "20 T"]


def test_macs_depend_on_size_and_stem():
    standard, small = (
        inspect_network(get_architecture("resnet18").usual(image_size=32, stem=stem)) for stem in ("standard", "small")
    )
    assert standard.image_shape == (32, 32, 3)
    assert small.macs > 10 * standard.macs
    assert {layer.name: layer for layer in small.layers}["layer1.0.conv1"].output_shape == (64, 32, 32)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("alexnet", "features.10"),
        pytest.param("vgg11", "features.15", marks=pytest.mark.slow),
        ("resnet18", "layer2.1.conv2"),
        pytest.param("googlenet", "inception4a", marks=pytest.mark.slow),
    ],
)
def test_receptive_field_matches_the_gradient(name: str, module: str):
    size = 256
    network = build(Network(name, 10, 1, (size, size))).eval()
    found = [layer for layer in inspect_network(Network(name, 10, 1, (size, size))).layers if layer.name == module][-1]
    for path, part in list(network.named_modules()):
        if isinstance(part, nn.MaxPool2d):  # the same window, but every pixel has a gradient
            parent = network.get_submodule(path.rpartition(".")[0])
            pool = nn.AvgPool2d(part.kernel_size, part.stride, part.padding, ceil_mode=part.ceil_mode)
            setattr(parent, path.rpartition(".")[2], pool)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.01)  # positive, so that every ReLU is active
    seen: list[torch.Tensor] = []
    network.get_submodule(module).register_forward_hook(lambda _, __, output: seen.append(output))
    image = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    network.double()(image)
    middle = seen[0].shape[-1] // 2
    seen[0][0, :, middle, middle].sum().backward()
    assert image.grad is not None
    rows = torch.nonzero(image.grad[0, 0].sum(dim=1)).flatten()
    assert int(rows[-1] - rows[0]) + 1 == found.receptive_field


def test_fields_grow_through_windows_and_branches():
    field = Field().through(7, 2).through(3, 2)
    assert field == Field(11, 4)
    assert field.through(3, 1, dilation=2).size == 11 + 4 * 4
    assert widest([field, Field(3, 4)]) == field
    assert widest([field, WHOLE]) == WHOLE
    assert WHOLE.through(3, 2) == WHOLE


def test_graph_matches_its_network(fp32_bundle: Bundle):
    graph, network = inspect_bundle(fp32_bundle), inspect_network(get_architecture("lenet").usual())
    assert (graph.parameters, graph.macs) == (network.parameters, network.macs)
    shapes = {layer.name: (layer.output_shape, layer.receptive_field) for layer in graph.layers}
    for layer in network.layers:
        if layer.macs:
            assert shapes[layer.name] == (layer.output_shape, layer.receptive_field)


def test_int8_graph_matches_its_parent(fp32_bundle: Bundle, int8_bundle: Bundle):
    floats, integers = inspect_bundle(fp32_bundle), inspect_bundle(int8_bundle)
    assert (integers.parameters, integers.macs) == (floats.parameters, floats.macs)
    assert [layer.kind for layer in integers.layers] == [layer.kind for layer in floats.layers]
    assert {layer.precision for layer in floats.layers} == {"float32"}
    assert [layer.name for layer in integers.layers if layer.precision == "float32"] == [
        "normalize",
        "relu",
        "fc2",
        "relu",
        "fc3",
        "",  # the softmax
    ]
    relus = [layer.precision for layer in integers.layers if layer.kind == "Relu"]
    assert set(relus[:2]) == {"int8"}


@pytest.mark.slow
def test_a_layer_in_4_bits_is_one_row(fp32_bundle: Bundle, int4_bundle: Bundle):
    floats, packed = inspect_bundle(fp32_bundle), inspect_bundle(int4_bundle)
    assert (packed.parameters, packed.macs) == (floats.parameters, floats.macs)
    for own, other in zip(packed.layers, floats.layers, strict=True):
        assert (own.name, own.kind, own.output_shape) == (other.name, other.kind, other.output_shape)
        assert (own.parameters, own.macs, own.receptive_field) == (other.parameters, other.macs, other.receptive_field)
    assert [layer.name for layer in packed.layers if layer.precision == "int4"] == ["fc1"]
    assert [layer.cells()[-1] for layer in packed.layers if layer.name == "fc1"] == ["int4"]


def test_rejects_an_unreadable_graph(fp32_bundle: Bundle, tmp_path: Path):
    from edgecnn.bundle.store import create_bundle

    made = create_bundle(
        tmp_path / "b",
        manifest=fp32_bundle.manifest,
        model=b"\x42\x01\x08",  # a truncated operator set, which creating a bundle does not check
        self_test=fp32_bundle.self_test(),
        proof=fp32_bundle.proof(),
    )
    with pytest.raises(BundleError, match=r"model\.onnx"):
        inspect_bundle(open_bundle(made.path))


def test_counts_shared_weights_once(committed: Bundle, tmp_path: Path):
    from onnx import TensorProto, helper

    from edgecnn.bundle.store import create_bundle

    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], "a/Conv", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["a", "w"], ["logits"], "b/Conv", kernel_shape=[1, 1]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2, 4, 4]) for name in ("image", "logits")]
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 2, 1, 1], [1.0] * 4)
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights]))
    made = create_bundle(
        tmp_path / "b",
        manifest=committed.manifest,
        model=model.SerializeToString(),
        self_test=committed.self_test(),
        proof=committed.proof(),
    )
    found = inspect_bundle(made)
    assert (found.parameters, found.macs) == (4, 2 * 16 * 4)
    assert onnx.load(str(made.model)).graph.node[0].name == "a/Conv"
