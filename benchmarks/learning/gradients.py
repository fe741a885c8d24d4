"""Gradients of deep networks at initialisation: sigmoid and ReLU, with and without batch norm and skips.

Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.
"""

import numpy as np
from torch.nn import functional

from benchmarks.learning.networks import Activation, DeepNetwork, Design
from benchmarks.learning.runs import images, origin, rounded, seeded, write
from edgecnn.learning.architectures.measurements import Gradients, GradientSeries

_DEPTH, _WIDTH = 20, 16
_IMAGES, _SEEDS = 128, 10
_ACTIVATIONS: tuple[Activation, ...] = ("sigmoid", "relu")


def gradients() -> None:
    """Measure, and write `gradients.json`."""
    series = tuple(
        _series(Design(_DEPTH, (_WIDTH,), activation, batch_norm, skips))
        for activation in _ACTIVATIONS
        for batch_norm in (False, True)
        for skips in (False, True)
    )
    write("gradients", Gradients(origin("gradients"), _DEPTH, _WIDTH, 16, _IMAGES, _SEEDS, series))


def _series(design: Design) -> GradientSeries:
    norms = np.array([_norms(design, seed) for seed in range(_SEEDS)])
    means = np.exp(np.log(norms).mean(axis=0))
    mean, low, high = (tuple(map(rounded, each)) for each in (means, norms.min(axis=0), norms.max(axis=0)))
    return GradientSeries(design.activation, design.batch_norm, design.skips, mean, low, high)


def _norms(design: Design, seed: int) -> list[float]:
    """Return the norm of the gradient of each convolution's weights."""
    seeded(seed)
    pixels, targets = images("digits", "train", _IMAGES, scale=2)
    network = DeepNetwork(design).double().train()
    functional.cross_entropy(network(pixels.double()), targets).backward()  # type: ignore[no-untyped-call]
    return [float(layer.weight.grad.norm()) for layer in network.convolutions() if layer.weight.grad is not None]
