"""Every convolution of a network is rounded and bias-corrected, grouped or not, seen by the images or not."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from benchmarks.common.random_networks import realistic
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.pipeline.data.photographs import photographs
from edgecnn.pipeline.quantization import planning
from edgecnn.pipeline.quantization.building import build
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.pipeline.torch_graph import to_onnx

SIDE = 32
PREPROCESSING = Preprocessing("RGB", Resize((SIDE, SIDE)), None, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def separable() -> nn.Module:
    """Return depthwise and grouped convolutions with batch norms."""

    def block(inputs: int, outputs: int, kernel: int, groups: int = 1, stride: int = 1) -> nn.Module:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

    return nn.Sequential(
        block(3, 16, 5, stride=2),
        block(16, 16, 3, groups=16),
        block(16, 32, 1),
        block(32, 64, 5, groups=32, stride=2),  # two outputs per input
        block(64, 32, 3, groups=4),
        nn.AvgPool2d(SIDE // 4),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def exported(network: nn.Module) -> onnx.ModelProto:
    return to_onnx(realistic(network, size=SIDE), PREPROCESSING, (SIDE, SIDE, 3))


def images(first: int, last: int) -> np.ndarray:
    return photographs().pixels(range(first, last), PREPROCESSING)


def int8_graph(model: onnx.ModelProto, **options: object) -> onnx.ModelProto:
    return build(model, images(0, 24), options=QuantizationOptions(**options)).model  # type: ignore[arg-type]


def integers(model: onnx.ModelProto, ending: str) -> dict[str, np.ndarray]:
    return {
        each.name: onnx.numpy_helper.to_array(each)
        for each in model.graph.initializer
        if each.name.endswith(f"{ending}/quantized")
    }


def test_rounds_grouped_convolutions():
    model = exported(separable())
    fresh = images(24, 40)
    expected = trial_logits(model, fresh)
    graphs = {rounding: int8_graph(model, rounding=rounding) for rounding in ("nearest", "gptq")}
    errors = {name: np.std(trial_logits(graph, fresh) - expected) for name, graph in graphs.items()}
    assert errors["gptq"] < 0.7 * errors["nearest"]
    for ending in (".weight", ".bias"):
        found, nearest = (integers(graphs[name], ending) for name in ("gptq", "nearest"))
        assert len(found) == 5
        assert all((found[name] != nearest[name]).any() for name in found)


@pytest.mark.slow
def test_more_passes_give_the_same_weights(monkeypatch: pytest.MonkeyPatch):
    model = exported(separable())
    at_once = integers(int8_graph(model), ".weight")
    monkeypatch.setattr(planning, "_MOMENTS_MIB", 0)  # one layer per pass
    for name, found in integers(int8_graph(model), ".weight").items():
        assert np.mean(found != at_once[name]) < 0.001, name  # the engine may fuse other operators


def one_output() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU(), nn.Conv2d(1, 1, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 10))


def many_groups() -> nn.Module:
    layers = nn.Conv2d(3, 512, 5, 4), nn.ReLU(), nn.Conv2d(512, 512, 3, groups=512), nn.ReLU(), nn.AvgPool2d(5)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


class Unreached(nn.Module):
    """A network with a depthwise branch whose inputs are zero on all images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.gate = nn.Conv2d(8, 8, 1)
        self.branch = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.head = nn.Linear(8 * 30 * 30, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        branch = self.branch(torch.relu(self.gate(x) - 1000))
        return self.head(torch.flatten(torch.relu(x + branch), 1))


@pytest.mark.parametrize("network", [one_output, many_groups, Unreached])
def test_unusual_layers_keep_the_answers(network: Callable[[], nn.Module]):
    model = exported(network())
    fresh = images(24, 40)
    expected = trial_logits(model, fresh)
    found = trial_logits(int8_graph(model), fresh)
    assert np.isfinite(found).all()
    assert np.std(found - expected) < 0.1 * np.std(expected)
