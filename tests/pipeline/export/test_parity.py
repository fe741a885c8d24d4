"""Parity of all sixteen networks with PyTorch, as the benchmark measures it: every size, batch and engine."""

import pytest

from benchmarks.engines.parity import cases, measure
from edgecnn.pipeline.models.registry import architectures
from edgecnn.pipeline.proving import PARITY_BATCHES, PARITY_TOLERANCE
from edgecnn.runtime.engines.backends import installed

QUICK = {("lenet", 32), ("resnet18", 32)}


def test_every_architecture_is_measured_at_its_usual_and_its_smallest_size():
    expected = {(each.name, size) for each in architectures() for size in (each.image_size, each.min_image_size)}
    assert set(cases()) == expected
    assert len(expected) == 31  # LeNet has one size


@pytest.mark.parametrize(
    ("name", "size"),
    [case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow) for case in cases()],
)
def test_the_graph_answers_as_pytorch_does(name: str, size: int):
    rows = list(measure(name, size))
    assert [(row.engine, row.batch) for row in rows] == [(e, b) for e in installed() for b in PARITY_BATCHES]
    for row in rows:
        assert row.error <= 2 * PARITY_TOLERANCE, row  # VGG-19: half of it is PyTorch's own rounding
        assert row.different == 0, row
