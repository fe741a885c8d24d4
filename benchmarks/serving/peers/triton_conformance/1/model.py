"""A model for Triton's Python backend as in its guide; the server imports it as `model.py`."""

from typing import Any

import triton_python_backend_utils as pb_utils
from onnx_model import Model


class TritonPythonModel:
    """A model with edgecnn's graph."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session."""
        self._model = Model()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request."""
        return [self._answer(pb_utils.get_input_tensor_by_name(each, "image").as_numpy()) for each in requests]

    def _answer(self, images: Any) -> Any:
        return pb_utils.InferenceResponse([pb_utils.Tensor("logits", self._model.logits(images))])
