"""A custom MLServer model as in its guide: V2 JSON, and images with its base64 codec."""

from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_model import Model


class Classifier(MLModel):  # type: ignore[misc]
    """A model with edgecnn's graph."""

    async def load(self) -> bool:
        """Open the session."""
        self._model = Model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request."""
        (image,) = payload.inputs
        if image.datatype == "BYTES":
            (content,) = Base64Codec.decode_input(image)
            images = self._model.picture(content)
        else:
            images = NumpyCodec.decode_input(image)
        output = NumpyCodec.encode_output("logits", self._model.logits(images))
        return InferenceResponse(model_name=self.name, outputs=[output])
