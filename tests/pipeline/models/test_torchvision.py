"""Fifteen networks match torchvision: keys, shapes, parameters, and logits in both modes."""

import pytest
import torch
import torchvision

from benchmarks.common.random_networks import photographs, realistic
from edgecnn.bundle.manifest import Network
from edgecnn.errors import UsageError
from edgecnn.pipeline.models.googlenet import GoogLeNet
from edgecnn.pipeline.models.registry import architectures, build, check_network, get_architecture

PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "googlenet": 13_004_888,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}
OURS = [architecture.name for architecture in architectures()]


def torchvisions(name: str) -> torch.nn.Module:
    extra = {"init_weights": False} if name == "googlenet" else {}
    return torchvision.models.get_model(name, weights=None, **extra)


def ours(name: str) -> torch.nn.Module:
    return build(Network(name, 1000, 3, (224, 224)))


def test_registers_sixteen_architectures():
    assert set(OURS) == {"lenet", *PARAMETERS}
    assert len(OURS) == 16


@pytest.mark.parametrize("name", PARAMETERS)
def test_keys_and_shapes_match_torchvision(name: str):
    with torch.device("meta"):
        mine, theirs = ours(name).state_dict(), torchvisions(name).state_dict()
        assert list(mine) == list(theirs)
        assert {key: value.shape for key, value in mine.items()} == {key: value.shape for key, value in theirs.items()}
        assert sum(parameter.numel() for parameter in ours(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(
    "name",
    [name if name == "resnet18" else pytest.param(name, marks=pytest.mark.slow) for name in PARAMETERS],
)
def test_logits_match_torchvision(name: str):
    theirs = realistic(torchvisions(name))
    mine = ours(name)
    mine.load_state_dict(theirs.state_dict())
    images = photographs(224, count=3)
    with torch.inference_mode():
        close(mine.eval()(images), theirs.eval()(images))
        torch.manual_seed(0)  # dropout draws the same numbers in both
        expected = theirs.train()(images)
        torch.manual_seed(0)
        if name == "googlenet":
            for found, wanted in zip(mine.train().forward_with_aux(images), reordered(expected), strict=True):
                assert found.shape == wanted.shape
        else:
            close(mine.train()(images), expected)


def reordered(outputs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits in our order: torchvision's GoogLeNet returns the upper auxiliary logits before the lower ones."""
    return outputs.logits, outputs.aux_logits1, outputs.aux_logits2


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    spread = (expected - expected.mean(dim=0)).pow(2).mean().sqrt()
    assert spread > 0
    assert (found - expected).abs().max() <= 1e-5 * spread


@pytest.mark.slow
def test_googlenet_training_logits_match():
    theirs, mine = realistic(torchvisions("googlenet")), ours("googlenet")
    mine.load_state_dict(theirs.state_dict())
    images = photographs(224, count=3)
    for network in (mine, theirs):
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    with torch.inference_mode():
        logits, lower, upper = mine.forward_with_aux(images)
        expected = theirs(images)
    close(logits, expected.logits)
    close(lower, expected.aux_logits1)
    close(upper, expected.aux_logits2)


@pytest.mark.slow
def test_googlenet_returns_logits_in_every_mode():
    images = torch.zeros(2, 3, 64, 64)
    network = GoogLeNet(10)
    assert network.train()(images).shape == network.eval()(images).shape == (2, 10)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("step", [0, 1])
def test_supports_the_smallest_image(name: str, step: int):
    architecture = get_architecture(name)
    size = architecture.min_image_size + (step if architecture.max_image_size is None else 0)
    with torch.device("meta"):
        network = build(Network(name, 7, 1, (size, size))).eval()
        assert network(torch.zeros(2, 1, size, size)).shape == (2, 7)


@pytest.mark.parametrize("name", OURS)
def test_rejects_a_smaller_image(name: str):
    smallest = get_architecture(name).min_image_size
    with pytest.raises(UsageError, match=f"{smallest} pixels"):
        check_network(Network(name, 10, 3, (smallest - 1, smallest - 1)))


@pytest.mark.parametrize("size", [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 448])
@pytest.mark.parametrize("name", ["vgg11", "alexnet"])
def test_classifier_matches_every_feature_map(name: str, size: int):
    if size < get_architecture(name).min_image_size:
        return
    with torch.device("meta"):
        network = build(Network(name, 10, 3, (size, size)))
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 10)
        largest = 512 * 7 * 7 if name == "vgg11" else 256 * 6 * 6
        assert next(m for m in network.classifier if isinstance(m, torch.nn.Linear)).in_features <= largest


def test_only_resnet_has_a_small_stem():
    small = build(Network("resnet18", 10, 3, (32, 32), "small"))
    assert small.conv1.kernel_size == (3, 3)
    with torch.inference_mode():
        assert small.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    with pytest.raises(UsageError, match="standard"):
        build(Network("vgg11", 10, 3, (32, 32), "small"))
