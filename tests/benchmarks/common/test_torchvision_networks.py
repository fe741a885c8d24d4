"""torchvision's networks of the zoo are built for grayscale images, also without memory for weights."""

import pytest

from benchmarks.common.torchvision_networks import NETWORKS, register_networks
from edgecnn.bundle.manifest import Network
from edgecnn.pipeline.inspection.network import inspect_network
from edgecnn.pipeline.models import registry


@pytest.mark.parametrize("name", NETWORKS)
def test_inspects_a_network_for_grayscale_images(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    register_networks()
    found = inspect_network(Network(name, 10, 1, (64, 64), "standard"))
    assert found.parameters > 1_000_000
    assert found.macs > 1_000_000
