"""Feature maps of handwritten digits in the committed bundle."""

import numpy as np

from benchmarks.common.results import COMMITTED
from benchmarks.learning.runs import rounded, write
from edgecnn.bundle.manifest import OUTPUT_NAME
from edgecnn.bundle.store import open_bundle
from edgecnn.explaining.explain import Explainer, ExplainOptions
from edgecnn.explaining.explanation import Explanation
from edgecnn.learning.architectures.pictures import Digit, DigitLayer, Digits, MapPicture
from edgecnn.pipeline.data.sources import open_source

_KEPT = ("relu", "max_pool", "flatten", "softmax")
"""Operations that are shown: a convolution or a linear layer is shown with its ReLU."""


def digits() -> None:
    """Write `digits.json`."""
    write("digits", explained())


def explained() -> Digits:
    """Return what the bundle computes for the first test image of each class."""
    bundle, test = open_bundle(COMMITTED), open_source("digits").split("test")
    explainer = Explainer(bundle, engine="onnxruntime", threads=1)
    targets, labels = test.known_targets(), bundle.manifest.labels
    found = []
    for target in range(len(labels)):
        image = bundle.manifest.preprocessing.image(test.images[int(np.argmax(targets == target))])
        explanation = explainer.explain(image, ExplainOptions(attended=0))
        found.append(Digit(labels[target], explanation.image.png, _layers(explanation)))
    kernels = next(layer.kernels for layer in explanation.layers if layer.kernels is not None)
    order = np.argsort(kernels.channels)
    weights = tuple(
        tuple(tuple(map(rounded, row)) for row in (kernels.values or ())[index][0]) for index in map(int, order)
    )
    explainer.close()
    command = "python -m benchmarks.learning.run digits"
    return Digits(command, bundle.manifest.name, bundle.digest, explanation.engine, weights, tuple(found))


def _layers(explanation: Explanation) -> tuple[DigitLayer, ...]:
    """Return the layers, with the maps in the order of the channels."""
    return tuple(
        DigitLayer(
            layer.name,
            layer.operation,
            layer.shape,
            tuple(
                MapPicture(each.channel, each.picture.png, rounded(each.picture.low), rounded(each.picture.high))
                for each in sorted(layer.maps, key=lambda each: each.channel)
            ),
            tuple(map(rounded, layer.values)),
        )
        for layer in explanation.layers
        if layer.operation in _KEPT or layer.id == OUTPUT_NAME
    )
