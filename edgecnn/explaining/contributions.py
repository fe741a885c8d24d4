"""The last linear layer as a sum of evidence: inputs × weights, which add up to a logit with the bias."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.explaining.constants import Constants
from edgecnn.explaining.explanation import Contributions
from edgecnn.explaining.layers import GraphLayer

_MOVES_VALUES = ("Reshape", "Flatten", "Squeeze", "Transpose", "Pad", "Concat")
"""Operators that may follow the last linear layer: they change its shape, or add the logit 0 of a binary classifier."""

_LARGEST = 32


@dataclass(frozen=True)
class Head:
    """The last linear layer.

    Attributes:
        tensor: tensor that it reads.
        weights: float64 [K, inputs].
        bias: float64 [K].
    """

    tensor: str
    weights: np.ndarray
    bias: np.ndarray

    def contributions(self, inputs: np.ndarray, target: int) -> Contributions:
        """Return the contributions of the inputs to the logit of a class.

        Args:
            inputs: value of `tensor` for one image.
            target: number of the class.
        """
        values, weights, bias = inputs.reshape(-1).astype(np.float64), self.weights[target], self.bias[target]
        terms = values * weights
        order = np.argsort(-np.abs(terms), kind="stable")
        shown, others = order[:_LARGEST], order[_LARGEST:]
        return Contributions(
            target=target,
            bias=float(bias),
            logit=float(terms.sum() + bias),
            largest=tuple((int(i), float(values[i]), float(weights[i])) for i in shown),
            rest=float(terms[others].sum()),
        )


def head_of(layers: Sequence[GraphLayer], constants: Constants, classes: int) -> Head | None:
    """Return the last linear layer of a graph; None if the logits do not come from one.

    A convolution of 1 × 1 pixels on one unit is a linear layer too. A binary classifier with one output z has the
    logits (0, z): the class 0 has no contributions.
    """
    by_id = {each.id: each for each in layers}
    layer = layers[-1] if layers else None
    while layer is not None and layer.node.operator in _MOVES_VALUES:
        layer = by_id.get(layer.inputs[0]) if len(layer.inputs) == 1 else None
    if layer is None or layer.operation not in ("linear", "conv"):
        return None
    weights, bias = _matrix(layer, constants), _bias(layer, constants)
    if weights is None or bias is None:
        return None
    if len(weights) == 1 and classes == 2:
        weights, bias = np.concatenate([np.zeros_like(weights), weights]), np.concatenate([np.zeros_like(bias), bias])
    fits = weights.ndim == 2 and len(weights) == classes and bias.shape == (classes,)
    return Head(layer.node.inputs[0], weights, bias) if fits else None


def _matrix(layer: GraphLayer, constants: Constants) -> np.ndarray | None:
    """Return the weights as float64 [K, inputs]; None if they are unknown."""
    stored = constants.values(layer.weights)
    if stored is None:
        return None
    weights = stored.astype(np.float64)
    if layer.operation == "conv":
        is_linear = layer.window is not None and layer.window.kernel == (1, 1) and layer.window.groups == 1
        return weights.reshape(len(weights), -1) if is_linear else None
    if layer.node.number("transA", 0):
        return None
    return _factor(layer, "alpha") * (weights.T if layer.output_axis else weights)


def _bias(layer: GraphLayer, constants: Constants) -> np.ndarray | None:
    if not layer.bias:
        return np.zeros(constants.shape(layer.weights)[layer.output_axis])
    stored = constants.values(layer.bias)
    factor = _factor(layer, "beta") if layer.node.operator == "Gemm" else 1.0
    return None if stored is None else factor * stored.reshape(-1).astype(np.float64)


def _factor(layer: GraphLayer, name: str) -> float:
    found = layer.node.attributes.get(name, 1.0)
    return float(found) if isinstance(found, int | float) else 1.0
