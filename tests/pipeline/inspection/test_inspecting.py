"""`inspect` and `architecture_costs` as functions."""

from pathlib import Path

import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.pipeline.inspection.inspecting import architecture_costs, inspect


def test_inspects_every_kind_of_subject(checkpoint_path: Path, fp32_bundle: Bundle, int8_bundle: Bundle):
    found = [inspect(str(subject)) for subject in ("lenet", checkpoint_path, fp32_bundle.path, int8_bundle.path)]
    assert {each.inspection.parameters for each in found} == {61_706}
    assert [each.quantization is None for each in found] == [True, True, True, False]


def test_sorts_the_worst_layer_first(int8_bundle: Bundle):
    quantization = inspect(str(int8_bundle.path)).quantization
    assert quantization is not None
    ratios = [min(layer.weight_snr_db or 999, layer.input_snr_db or 999) for layer in quantization.layers]
    assert ratios == sorted(ratios)
    assert quantization.float_tensors["fc3.weight"].startswith("last layer")


def test_rejects_an_image_size_for_a_bundle(committed: Bundle):
    with pytest.raises(UsageError, match="architecture only"):
        inspect(str(committed.path), image_size=64)


def test_every_architecture_has_a_cost():
    costs = {each.name: each for each in architecture_costs()}
    assert len(costs) == 16
    assert costs["resnet50"].parameters == 25_557_032
    assert costs["lenet"].max_image_size == 32
