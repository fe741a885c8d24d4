"""The generated table of the networks' layers."""

from importlib.resources import files

import pytest

from edgecnn.bundle.manifest import Network
from edgecnn.pipeline.inspection.inspecting import inspect
from edgecnn.pipeline.inspection.network import inspect_network
from edgecnn.pipeline.inspection.tabled import TABLE, table_text, tabled_inspection
from edgecnn.pipeline.models.registry import Architecture, architectures, build, get_architecture, register


@pytest.mark.slow
def test_the_table_equals_a_new_inspection():
    fresh = table_text(inspect_network(each.usual()) for each in architectures())
    written = (files("edgecnn.pipeline.inspection") / TABLE).read_text(encoding="utf-8")
    assert fresh == written, "run python -m scripts.networks"


def test_other_networks_are_inspected():
    resnet = get_architecture("resnet18")
    assert tabled_inspection(resnet.usual()) is not None
    assert tabled_inspection(resnet.usual(image_size=64)) is None
    assert tabled_inspection(resnet.usual(stem="small")) is None


def test_replaced_architectures_are_inspected(own_registry: None):
    def narrower(network: Network):
        return build(get_architecture("vgg11").usual(image_size=32))

    register(Architecture("lenet", narrower, 32, min_image_size=32))
    assert tabled_inspection(get_architecture("lenet").usual()) is None
    assert inspect("lenet").inspection.layers[0].kind == "Conv2d 3×3"
