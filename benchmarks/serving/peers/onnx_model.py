"""The handler of every peer: ONNX Runtime on the bundle's graph, and images decoded with Pillow.

The graph takes pixels, uint8 [N, H, W, C], and returns logits. Environment variables give its path and the number of
threads. This file does not import edgecnn, because the peers run in their own environments.
"""

import io
import os
from typing import Any

import numpy as np
import onnxruntime


class Model:
    """A session, and the conversions of a request to its input."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["SERVING_THREADS"])
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.environ["SERVING_MODEL"], options)
        (image,) = self._session.get_inputs()
        self._name = image.name
        self._shape: tuple[int, ...] = tuple(image.shape[1:])

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Run the graph: uint8 [N, H, W, C] to float32 [N, K]."""
        (logits,) = self._session.run(None, {self._name: images})
        found: np.ndarray = logits
        return found

    def pixels(self, body: bytes) -> np.ndarray:
        """Return the images in a body that contains only pixels."""
        return np.frombuffer(body, np.uint8).reshape(-1, *self._shape)

    def picture(self, content: bytes) -> np.ndarray:
        """Decode and resize one image file as the bundle's manifest specifies."""
        from PIL import Image

        with Image.open(io.BytesIO(content)) as picture:
            return self.resized(picture)

    def resized(self, picture: Any) -> np.ndarray:
        """Resize an image that Pillow has opened: uint8 [1, H, W, C]."""
        from PIL import Image

        height, width, _ = self._shape
        resized = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized)[np.newaxis]
