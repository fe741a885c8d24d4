"""BentoML as its guide shows it: a service with an array in JSON, and one with a picture as the body."""

import bentoml
import numpy as np
from onnx_model import Model
from PIL.Image import Image


@bentoml.service(workers=1)
class Classifier:
    """Our graph behind it."""

    def __init__(self) -> None:
        self._model = Model()

    @bentoml.api  # type: ignore[untyped-decorator]
    def classify(self, image: np.ndarray) -> np.ndarray:
        """Answer pixels in JSON."""
        return self._model.logits(image.astype(np.uint8))

    @bentoml.api  # type: ignore[untyped-decorator]
    def picture(self, picture: Image, /) -> np.ndarray:
        """Answer a picture."""
        return self._model.logits(self._model.resized(picture))
