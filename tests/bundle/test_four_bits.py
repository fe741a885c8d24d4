"""Tests of the layout of weights in 4 bits."""

import numpy as np
import pytest

from edgecnn.bundle.four_bits import BLOCK, blocks_of, dequantized, pack, pack_zero_points, unpack


def random(outputs: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 16, (outputs, columns)).astype(np.uint8)


@pytest.mark.parametrize("columns", [1, 127, 128, 129, 300, 512])
def test_unpacking_reverses_packing(columns: int):
    integers = random(3, columns)
    packed = pack(integers)
    assert (packed.shape, packed.dtype) == ((3, blocks_of(columns), BLOCK // 2), np.uint8)
    assert (unpack(packed, columns) == integers).all()


def test_the_first_of_two_neighbours_is_in_the_lower_half():
    assert pack(np.array([[1, 2, 15]], np.uint8))[0, 0, :3].tolist() == [0x21, 0x0F, 0]
    assert pack_zero_points(np.array([[3, 4, 5]], np.uint8)).tolist() == [[0x43, 0x05]]


@pytest.mark.parametrize("columns", [100, 256, 300])
def test_a_weight_is_its_scale_times_its_integer_without_the_zero_point(columns: int):
    integers, zero_points = random(4, columns), random(4, blocks_of(columns))
    scales = np.random.default_rng(1).uniform(0.1, 1, zero_points.shape).astype(np.float32)
    for flat in (scales, scales.reshape(-1)):
        found = dequantized(pack(integers), flat, pack_zero_points(zero_points), columns)
        assert found.shape == (4, columns)
        for column in range(columns):
            block = column // BLOCK
            expected = scales[:, block] * (integers[:, column] - zero_points[:, block].astype(np.float32))
            assert (found[:, column] == expected).all()


def test_rejects_parts_that_contradict_each_other():
    packed, zero_points = pack(random(4, 300)), pack_zero_points(random(4, 3))
    with pytest.raises(ValueError, match="reshape"):
        dequantized(packed, np.ones(8, np.float32), zero_points, 300)
    with pytest.raises(ValueError, match="broadcast"):
        dequantized(packed, np.ones(12, np.float32), zero_points, 600)
