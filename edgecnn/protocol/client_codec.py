"""The client's side of an inference: writes a request for the logits of images and reads its response.

Open Inference Protocol v2 with Triton's binary tensor data extension (Triton Inference Server,
docs/protocol/extension_binary_data.md). JSON responses are supported for servers without that extension.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecnn.protocol import bytes_tensors
from edgecnn.protocol.http_headers import HEADER_LENGTH


def encode_request(images: np.ndarray | Sequence[bytes], *, input_name: str, output_name: str) -> tuple[bytes, int]:
    """Write a request for the logits of images: uint8 [N, H, W, C], or N encoded files.

    Returns:
        The body, and the length of its JSON, for `Inference-Header-Content-Length`.
    """
    if isinstance(images, np.ndarray):
        datatype, shape, raw = "UINT8", list(images.shape), images.tobytes()
    else:
        datatype, shape, raw = "BYTES", [len(images)], bytes_tensors.encode(images)
    tensor = {"name": input_name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
    wanted = {"name": output_name, "parameters": {"binary_data": True}}
    header = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
    return header + raw, len(header)


def decode_logits(body: bytes, header_length: str | None, *, output_name: str, count: int) -> np.ndarray:
    """Return the logits in a response: float32 [count, K].

    Args:
        body: of the response.
        header_length: the text of `Inference-Header-Content-Length`; None if the header is missing.
        output_name: name of the logits.
        count: images of the request.

    Raises:
        ValueError: the response does not contain such logits; the message begins with a lower-case letter.
    """
    if header_length is None:
        text, raw = body, b""
    elif header_length.isascii() and header_length.isdecimal() and int(header_length[:12]) <= len(body):
        text, raw = body[: int(header_length)], body[int(header_length) :]
    else:
        raise ValueError(f"the header {HEADER_LENGTH} of its response is not a length of JSON in the body")
    output = _output(text, output_name)
    shape: Any = output.get("shape")
    is_shape = isinstance(shape, list) and len(shape) == 2 and all(type(size) is int and size > 0 for size in shape)
    if output.get("datatype") != "FP32" or not is_shape or shape[0] != count:
        found = f"{output.get('datatype')} {shape}"[:80]
        raise ValueError(f"expected FP32 [{count}, K] as {output_name}, found {found}")
    try:
        return np.array(output["data"] if "data" in output else np.frombuffer(raw, "<f4"), np.float32).reshape(shape)
    except (ValueError, TypeError, OverflowError):
        raise ValueError("its logits are not numbers, or their count does not match their shape") from None


def _output(text: bytes, name: str) -> dict[str, Any]:
    """Return the entry of an output in the JSON of a response."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ValueError("its response is not a JSON object")
    outputs = document.get("outputs")
    for each in outputs if isinstance(outputs, list) else []:
        if isinstance(each, dict) and each.get("name") == name:
            return each
    raise ValueError(f"its response has no output {name}")
