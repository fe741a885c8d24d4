"""BentoML as in its guide: a service with an array in JSON, and one with an image as the body."""

import bentoml
import numpy as np
from onnx_model import Model
from PIL.Image import Image


@bentoml.service(workers=1)
class Classifier:
    """A service with edgecnn's graph."""

    def __init__(self) -> None:
        self._model = Model()

    @bentoml.api  # type: ignore[untyped-decorator]
    def classify(self, image: np.ndarray) -> np.ndarray:
        """Answer pixels in JSON."""
        return self._model.logits(image.astype(np.uint8))

    @bentoml.api  # type: ignore[untyped-decorator]
    def picture(self, picture: Image, /) -> np.ndarray:
        """Answer an image file."""
        return self._model.logits(self._model.resized(picture))
