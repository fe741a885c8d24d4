"""Parity of all sixteen networks with PyTorch, measured by the benchmark's code.

Each network is exported at its smallest image size, and one network of each kind of block at its default size: deeper
networks repeat the same operators. `python -m benchmarks.engines.parity` measures all networks at both sizes.
"""

import pytest

from benchmarks.engines.parity import cases, measure
from edgecnn.pipeline.models.registry import architectures, get_architecture
from edgecnn.pipeline.proving import PARITY_BATCHES, PARITY_TOLERANCE
from edgecnn.runtime.engines.registry import installed

QUICK = {("lenet", 32), ("resnet18", 32)}
LARGE = {"alexnet", "vgg11", "vgg16_bn", "googlenet", "resnet18", "resnet50"}
CASES = [(name, size) for name, size in cases() if size == get_architecture(name).min_image_size or name in LARGE]


def test_measures_default_and_smallest_sizes():
    expected = {(each.name, size) for each in architectures() for size in (each.image_size, each.min_image_size)}
    assert set(cases()) == expected
    assert len(expected) == 31  # LeNet has one size


@pytest.mark.parametrize(
    ("name", "size"),
    [case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow) for case in CASES],
)
def test_graph_matches_pytorch(name: str, size: int):
    rows = list(measure(name, size))
    assert [(row.engine, row.batch) for row in rows] == [(e, b) for e in installed() for b in PARITY_BATCHES]
    for row in rows:
        assert row.error <= 2 * PARITY_TOLERANCE, row  # VGG-19: half of the error is PyTorch's rounding
        assert row.different == 0, row
