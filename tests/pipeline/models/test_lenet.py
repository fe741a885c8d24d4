"""LeNet-5: shapes, parameters, and the registry."""

import pytest
import torch

from edgecnn.bundle.manifest import Network
from edgecnn.errors import UsageError
from edgecnn.pipeline.models.lenet import LeNet
from edgecnn.pipeline.models.registry import build, get_architecture


def test_has_the_expected_parameters():
    # C1 6·(25+1), C3 16·(6·25+1), C5 120·(400+1), F6 84·(120+1), output 10·(84+1)
    expected = 156 + 2_416 + 48_120 + 10_164 + 850
    assert sum(p.numel() for p in LeNet().parameters()) == expected == 61_706


@pytest.mark.parametrize(("classes", "channels"), [(10, 1), (2, 3), (47, 1)])
def test_supports_other_classes_and_channels(classes: int, channels: int):
    network = build(Network("lenet", classes, channels, (32, 32)))
    assert network(torch.zeros(4, channels, 32, 32)).shape == (4, classes)


def test_lists_choices_for_unknown_architectures():
    with pytest.raises(UsageError, match="choose lenet"):
        get_architecture("lenet5000")
