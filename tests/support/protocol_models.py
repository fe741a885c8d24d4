"""Made-up models, and requests to them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.protocol.request import InferRequest, parse

Inputs = Mapping[str, tuple[TensorSpec, ...]]

LOGITS = {"logits": TensorSpec("logits", "FP32", (-1, 4))}
IMAGES = {"image": (TensorSpec("image", "UINT8", (-1, 2, 2, 1)), TensorSpec("image", "BYTES", (-1,)))}
PAIR = {"a": (TensorSpec("a", "INT32", (-1, 2)),), "b": (TensorSpec("b", "FP32", (-1, 2)),)}


def one(datatype: str, *shape: int) -> Inputs:
    """Return a model with one input, `x`."""
    return {"x": (TensorSpec("x", datatype, (-1, *shape)),)}


def image(**changes: Any) -> dict[str, Any]:
    """Return a valid input to `IMAGES` with changes; a change to `...` removes the key."""
    entry = {"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 1], "data": [1, 2, 3, 4]} | changes
    return {key: value for key, value in entry.items() if value is not ...}


def ask(
    request: Any,
    *raw: bytes,
    accepted: Inputs = IMAGES,
    outputs: Mapping[str, TensorSpec] = LOGITS,
    max_batch: int = 8,
) -> InferRequest:
    """Parse a request, followed by raw tensors if there are any."""
    text = json.dumps(request).encode()
    length = str(len(text)) if raw else None
    return parse(b"".join([text, *raw]), length, accepted=accepted, outputs=outputs, max_batch=max_batch)


def send(body: bytes, header_length: str | None = None, accepted: Inputs = IMAGES) -> InferRequest:
    """Parse bytes."""
    return parse(body, header_length, accepted=accepted, outputs=LOGITS, max_batch=8)


def values(request: InferRequest, name: str) -> np.ndarray:
    """Return an input's numbers."""
    found = request.inputs[name]
    assert isinstance(found, np.ndarray)
    return found
