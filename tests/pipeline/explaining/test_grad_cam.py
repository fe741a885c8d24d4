"""Tests of Grad-CAM against a computation by hand."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from edgecnn.explaining.explanation import Attention
from edgecnn.pipeline.explaining.grad_cam import grad_cam
from edgecnn.pipeline.models.registry import build, get_architecture


def values_in(found: Attention) -> np.ndarray:
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.picture.png))), np.float64)
    return found.picture.low + levels / 255 * (found.picture.high - found.picture.low)


def by_hand(maps: torch.Tensor, rest: nn.Module, target: int) -> np.ndarray:
    """Return Grad-CAM of maps [1, C, h, w] before the rest of a network, by finite sums over channels."""
    maps = maps.detach().requires_grad_()
    rest(maps)[0, target].backward()
    weights = maps.grad.mean(dim=(2, 3))[0]
    cam = sum(weight * each for weight, each in zip(weights, maps[0], strict=True))
    return torch.clamp(cam, min=0).detach().numpy()


class Small(nn.Module):
    """A network whose last maps come from a ReLU in place, which runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(8 * 5 * 5, 4)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.second(self.pool(self.relu(self.first(x)))))

    def rest(self, maps: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(maps).flatten(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(self.maps(x))


def test_equals_a_computation_by_hand():
    torch.manual_seed(0)
    network, image = Small().eval(), torch.randn(1, 3, 26, 26)
    found = grad_cam(network, image, [2, 0, 1, 3])
    assert [(each.method, each.target) for each in found] == [("grad-cam", target) for target in (2, 0, 1, 3)]
    assert any(values_in(each).max() > 0 for each in found)
    for each in found:
        expected = by_hand(network.maps(image), network.rest, each.target)
        assert expected.shape == (10, 10)
        assert np.abs(values_in(each) - expected).max() <= expected.max() / 255 + 1e-7
    assert not network.relu._forward_hooks


@pytest.mark.slow
def test_takes_the_end_of_the_last_residual_block():
    torch.manual_seed(0)
    network = build(get_architecture("resnet18").usual(image_size=96)).eval()
    image = torch.randn(1, 3, 96, 96)
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    maps = network.layer4(network.layer3(network.layer2(network.layer1(stem(image)))))
    (found,) = grad_cam(network, image, [7])
    expected = by_hand(maps, lambda x: network.fc(x.mean(dim=(2, 3))), 7)
    assert expected.shape == (3, 3)
    assert np.abs(values_in(found) - expected).max() <= expected.max() / 255 + 1e-6


def test_takes_maps_of_more_than_one_pixel():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(2, 2)
    )
    (found,) = grad_cam(network.eval(), torch.randn(1, 1, 6, 5), [0])
    assert values_in(found).shape == (4, 3)


@pytest.mark.parametrize(
    "network", [nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten())]
)
def test_networks_without_maps_have_none(network: nn.Module):
    assert grad_cam(network.eval(), torch.randn(1, 1, 2, 2), [0]) == ()


def test_works_with_frozen_weights():
    network = Small().eval().requires_grad_(False)
    assert len(grad_cam(network, torch.randn(1, 3, 26, 26), [0])) == 1
