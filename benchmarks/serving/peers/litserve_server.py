"""LitServe as in its guide: JSON with a list of pixels, or with an image in base64. `litserve_server.py PORT`."""

import base64
import sys
from typing import Any

import litserve
import numpy as np
from onnx_model import Model


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """An API with edgecnn's graph."""

    def setup(self, device: str) -> None:
        """Open the session."""
        self._model = Model()

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        """Return the graph's input for a request."""
        if "content" in request:
            return self._model.picture(base64.b64decode(request["content"]))
        if "pixels" in request:
            return self._model.pixels(base64.b64decode(request["pixels"]))
        return np.array(request["image"], np.uint8)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Run the graph."""
        return self._model.logits(images)

    def encode_response(self, logits: np.ndarray) -> dict[str, Any]:
        """Return the answer in JSON."""
        return {"logits": logits.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
