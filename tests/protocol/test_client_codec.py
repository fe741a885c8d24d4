"""The server reads requests of the client's codec, and the client reads responses of the server's."""

import numpy as np
import pytest
from protocol_models import IMAGES, LOGITS

from edgecnn.protocol.client_codec import decode_logits, encode_request
from edgecnn.protocol.matching import RequestedOutput
from edgecnn.protocol.request import InferRequest, parse
from edgecnn.protocol.response import encode

PIXELS = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
VALUES = np.array([[0.1, 2.5, -1, 2.5], [1, 2, 3, 4]], np.float32)


def sent(images: np.ndarray | list[bytes]) -> InferRequest:
    body, length = encode_request(images, input_name="image", output_name="logits")
    return parse(body, str(length), accepted=IMAGES, outputs=LOGITS, max_batch=8)


def test_server_reads_pixels():
    request = sent(PIXELS)
    assert np.array_equal(request.inputs["image"], PIXELS)
    assert request.outputs == (RequestedOutput("logits", binary=True),)


def test_server_reads_files():
    assert sent([b"one", b"", b"three"]).inputs["image"] == (b"one", b"", b"three")


@pytest.mark.parametrize("binary", [True, False])
def test_client_reads_logits(binary: bool):
    request = InferRequest(None, {}, (RequestedOutput("logits", binary),), None)
    body, length = encode(request, {"logits": VALUES}, model_name="m", model_version="1", labels=())
    text = None if length is None else str(length)
    assert np.array_equal(decode_logits(body, text, output_name="logits", count=2), VALUES)
    for wrong in ({"output_name": "scores", "count": 2}, {"output_name": "logits", "count": 3}):
        with pytest.raises(ValueError, match=r"logits|scores"):
            decode_logits(body, text, **wrong)
