"""Requests to made-up models as protobuf messages."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from protocol_models import IMAGES, LOGITS, Inputs

from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.protocol.grpc import messages
from edgecnn.protocol.grpc.request import parse, receive
from edgecnn.protocol.request import InferRequest

RAW = [b"\1\2\3\4"]
_KINDS = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}


def tensor(name: str = "image", datatype: str = "UINT8", shape: Any = (1, 2, 2, 1), **rest: Any) -> dict[str, Any]:
    """Return an input; `contents` are its typed data."""
    return {"name": name, "datatype": datatype, "shape": shape} | rest


def infer(**changes: Any) -> Any:
    """Return a valid ModelInferRequest to `IMAGES` with changes."""
    fields = {"model_name": "m", "inputs": [tensor()], "raw_input_contents": RAW} | changes
    parameters = fields.pop("parameters", {})
    message = messages.REQUESTS["ModelInfer"](**fields)
    for key, value in parameters.items():
        put(message.parameters[key], value)
    return message


def put(parameter: Any, value: Any) -> None:
    """Set a parameter in the field for its type; None leaves it without a value."""
    if value is None:
        parameter.SetInParent()
    else:
        setattr(parameter, _KINDS[type(value)], value)


def ask(
    message: Any, *, accepted: Inputs = IMAGES, outputs: Mapping[str, TensorSpec] = LOGITS, max_batch: int = 8
) -> InferRequest:
    """Parse a message, or bytes, as the server does."""
    body = message if isinstance(message, bytes) else message.SerializeToString()
    return parse(receive(body), accepted=accepted, outputs=outputs, max_batch=max_batch)


def elements(*each: bytes) -> bytes:
    """Encode the elements of a BYTES tensor in binary."""
    return b"".join(struct.pack("<I", len(one)) + one for one in each)


def values(request: InferRequest, name: str = "image") -> np.ndarray:
    """Return an input's numbers."""
    found = request.inputs[name]
    assert isinstance(found, np.ndarray)
    return found
