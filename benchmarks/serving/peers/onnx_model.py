"""What every peer does inside its handler: ONNX Runtime on the bundle's own graph, and pictures by Pillow.

The graph takes pixels, uint8 [N, H, W, C], and answers logits; which one, and with how many threads, stands in the
environment. Nothing of edgecnn is imported: the peers run in environments of their own.
"""

import io
import os
from typing import Any

import numpy as np
import onnxruntime


class Model:
    """A session, and the ways to make its input of a request."""

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
        """Return images of a body that holds nothing else."""
        return np.frombuffer(body, np.uint8).reshape(-1, *self._shape)

    def picture(self, content: bytes) -> np.ndarray:
        """Decode and resize one picture as the bundle's manifest says it."""
        from PIL import Image

        with Image.open(io.BytesIO(content)) as picture:
            return self.resized(picture)

    def resized(self, picture: Any) -> np.ndarray:
        """Resize a picture that Pillow has opened: uint8 [1, H, W, C]."""
        from PIL import Image

        height, width, _ = self._shape
        resized = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized)[np.newaxis]
