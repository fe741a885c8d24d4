"""The range chosen by each method, streamed and from all values at once."""

import numpy as np
import pytest

from edgecnn.pipeline.quantization.histogram import Histogram
from edgecnn.pipeline.quantization.plan import Range, activation_quantization
from edgecnn.pipeline.quantization.thresholds import Method, threshold

METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy", "mse")


def activations(count: int = 200_000) -> np.ndarray:
    """Return values like after a ReLU: half zeros, a bulk, and a long tail."""
    random = np.random.default_rng(0)
    values = np.maximum(random.normal(size=count), 0) + np.where(random.random(count) < 1e-4, 30, 0)
    return values.astype(np.float32)


def histogram(values: np.ndarray) -> Histogram:
    found = Histogram()
    found.update(values)
    return found


def chosen(values: np.ndarray, method: Method, symmetric: bool = False) -> Range:
    return threshold(histogram(values), method, percentile=99.9, symmetric=symmetric)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_streaming_gives_the_same_threshold(method: Method, symmetric: bool):
    values, streamed = activations(), Histogram()
    for portion in np.array_split(np.sort(values), 37):  # worst order: each portion exceeds the previous range
        streamed.update(portion)
    at_once = histogram(values)
    found = threshold(streamed, method, percentile=99.9, symmetric=symmetric)
    expected = threshold(at_once, method, percentile=99.9, symmetric=symmetric)
    assert found.high == pytest.approx(expected.high, abs=at_once.width)
    assert found.low == pytest.approx(expected.low, abs=at_once.width)


def test_percentile_matches_numpy():
    values = activations()
    assert chosen(values, "percentile").high == pytest.approx(np.quantile(values, 0.999), abs=histogram(values).width)
    both = np.random.default_rng(1).normal(size=100_000).astype(np.float32)
    found, width = chosen(both, "percentile"), histogram(both).width
    assert found.low == pytest.approx(np.quantile(both, 0.0005), abs=2 * width)
    assert found.high == pytest.approx(np.quantile(both, 0.9995), abs=2 * width)


def test_minmax_clips_no_value():
    values = activations()
    assert chosen(values, "minmax") == Range(float(values.min()), float(values.max()))


@pytest.mark.parametrize("offset", [0.0, -1.0])
def test_mse_has_the_lowest_squared_error(offset: float):
    values = (activations() + offset).astype(np.float32)

    def error(method: Method) -> float:
        quantization = activation_quantization(chosen(values, method))
        return float(np.mean((quantization.rounded(values) - values).astype(np.float64) ** 2))

    errors = {method: error(method) for method in METHODS}
    assert errors["mse"] <= min(errors.values()) * 1.01


@pytest.mark.parametrize("method", ["entropy", "mse"])
def test_outliers_do_not_determine_the_range(method: Method):
    values = np.append(np.abs(np.random.default_rng(0).normal(size=1_000_000)), 400.0).astype(np.float32)
    assert chosen(values, method).high < 200


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 2.5, -3.0])
def test_a_constant_tensor_has_a_range(method: Method, value: float):
    assert chosen(np.full(10, value, np.float32), method) == Range(value, value)
