"""The maps of digits equal fresh ones of the committed bundle."""

import pytest

from benchmarks.learning.digits import explained
from edgecnn.learning.architectures.measurements import read
from edgecnn.learning.architectures.pictures import Digits


@pytest.mark.slow
def test_the_file_equals_a_fresh_explanation():
    kept, fresh = read(Digits, "digits"), explained()
    assert kept.digest == fresh.digest
    assert kept.kernels == fresh.kernels
    for own, other in zip(kept.digits, fresh.digits, strict=True):
        assert own.png == other.png
        assert own.label == other.label
        for layer, again in zip(own.layers, other.layers, strict=True):
            assert (layer.operation, layer.shape) == (again.operation, again.shape)
            assert layer.values == pytest.approx(again.values, rel=1e-2, abs=1e-2)
