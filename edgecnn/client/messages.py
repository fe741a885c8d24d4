"""Images to an inference request, and its answer to logits.

Open Inference Protocol v2 with Triton's binary tensor data extension (Triton Inference Server,
docs/protocol/extension_binary_data.md); an answer in JSON is read too, for servers that have no binary one.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecnn.client.answer import Answer, Request
from edgecnn.client.description import Served
from edgecnn.protocol.bytes_tensors import encode

_LENGTH = "Inference-Header-Content-Length"


def infer_request(served: Served, images: np.ndarray | Sequence[bytes]) -> Request:
    """Write a request for the logits of images: uint8 [N, H, W, C], or N encoded files."""
    if isinstance(images, np.ndarray):
        datatype, shape, raw = "UINT8", list(images.shape), images.tobytes()
    else:
        datatype, shape, raw = "BYTES", [len(images)], encode(images)
    tensor = {"name": served.input, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
    wanted = {"name": served.output, "parameters": {"binary_data": True}}
    header = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
    headers = {"Content-Type": "application/octet-stream", _LENGTH: str(len(header))}
    return Request("POST", f"{served.path}/infer", header + raw, headers)


def read_logits(answer: Answer, served: Served, *, count: int) -> np.ndarray:
    """Return the logits in an answer: float32 [count, K].

    Raises:
        ServerError: there are none in it, or not of so many images.
    """
    length = answer.headers.get(_LENGTH.lower())
    if length is None:
        document, raw = _object(answer, answer.body), b""
    elif length.isascii() and length.isdecimal() and int(length[:12]) <= len(answer.body):
        document, raw = _object(answer, answer.body[: int(length)]), answer.body[int(length) :]
    else:
        raise answer.strange(f"{_LENGTH} is no length of JSON in its answer")
    outputs = document.get("outputs")
    named = [each for each in outputs if _is_named(each, served.output)] if isinstance(outputs, list) else []
    if not named:
        raise answer.strange(f"its answer has no output {served.output}")
    entry = named[0]
    shape = entry.get("shape")
    is_shape = isinstance(shape, list) and len(shape) == 2 and all(type(size) is int and size > 0 for size in shape)
    if entry.get("datatype") != "FP32" or not is_shape or shape[0] != count:
        found = f"{entry.get('datatype')} {shape}"[:80]
        raise answer.strange(f"expected FP32 [{count}, K] as {served.output}, found {found}")
    try:
        logits = np.array(entry["data"] if "data" in entry else np.frombuffer(raw, "<f4"), np.float32).reshape(shape)
    except (ValueError, TypeError, OverflowError):
        raise answer.strange("its logits are no numbers, or not as many as their shape says") from None
    if not np.isfinite(logits).all():
        raise answer.error(f"gives {served.output} that are not finite: verify the bundle there")
    return logits


def _object(answer: Answer, text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise answer.strange("its answer is no JSON object")
    return document


def _is_named(entry: Any, name: str) -> bool:
    return isinstance(entry, dict) and entry.get("name") == name
