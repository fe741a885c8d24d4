"""The counted facts of the chapters equal a fresh count of the networks."""

import pytest
import torch

from benchmarks.learning.counting import counted
from edgecnn.learning.architectures.counts import Counts
from edgecnn.learning.architectures.measurements import read
from edgecnn.pipeline.models.registry import build, get_architecture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh() -> Counts:
    return counted()


def test_the_file_equals_a_fresh_count(fresh: Counts):
    assert read(Counts, "counts") == fresh


@pytest.mark.parametrize("name", ["lenet", "alexnet", "googlenet", "resnet18"])
def test_parameters_equal_those_of_the_module(fresh: Counts, name: str):
    found = next(each for each in fresh.networks if each.name == name)
    with torch.device("meta"):
        module = build(get_architecture(name).usual())
    assert found.parameters == sum(each.numel() for each in module.parameters())
    assert found.parameters == found.convolution_parameters + found.linear_parameters + found.norm_parameters
    assert found.macs == sum(layer.macs for layer in found.layers)


def test_lenet_shares_its_weights(fresh: Counts):
    first = fresh.networks[0].layers[0]
    assert (first.parameters, first.dense) == (6 * (25 + 1), (32 * 32 + 1) * 6 * 28 * 28)


def test_stacks_of_vgg_have_fewer_weights(fresh: Counts):
    for stack in fresh.stacks:
        assert (stack.window, stack.length) in ((5, 2), (7, 3))
        assert stack.field == stack.window
        assert stack.single == stack.window**2 * stack.channels**2
        assert stack.stacked == stack.length * 9 * stack.channels**2


def test_bottlenecks_of_googlenet_save_work(fresh: Counts):
    first = fresh.inception[0]
    direct = 192 * (64 + 9 * 128 + 9 * 32 + 32)
    own = 192 * (64 + 96 + 16 + 32) + 9 * (96 * 128 + 16 * 32)
    assert (first.direct_parameters, first.parameters) == (direct, own)
    assert (first.direct_macs, first.macs) == (direct * 28**2, own * 28**2)
    assert all(each.macs < each.direct_macs for each in fresh.inception)


def test_resnets_have_their_number_of_layers(fresh: Counts):
    for each in fresh.resnets:
        assert each.name == f"resnet{each.layers}"
        assert each.projections < each.skips
