"""Inference requests independent of the protocol, and their encoding for HTTP and gRPC."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from grpc_messages import elements, put
from protocol_models import IMAGES, LOGITS, Inputs

from edgecnn.protocol import request as http
from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.protocol.grpc import messages
from edgecnn.protocol.grpc import request as grpc
from edgecnn.protocol.grpc.contents import FIELDS
from edgecnn.protocol.request import InferRequest


@dataclass(frozen=True)
class Tensor:
    """An input. `raw` replaces the bytes of its data."""

    data: np.ndarray | Sequence[bytes] = ()
    name: str = "image"
    datatype: str = "UINT8"
    shape: Sequence[int] | None = None
    raw: bytes | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> list[int]:
        """Return the shape in the request."""
        if self.shape is not None:
            return list(self.shape)
        return list(self.data.shape) if isinstance(self.data, np.ndarray) else [len(self.data)]

    @property
    def content(self) -> bytes:
        """Return the data in binary."""
        if self.raw is not None:
            return self.raw
        return self.data.tobytes() if isinstance(self.data, np.ndarray) else elements(*self.data)

    @property
    def values(self) -> list[Any]:
        """Return the data as numbers or strings."""
        return self.data.ravel().tolist() if isinstance(self.data, np.ndarray) else list(self.data)


@dataclass(frozen=True)
class Request:
    """A request; each output is a name with its parameters."""

    inputs: Sequence[Tensor]
    outputs: Sequence[tuple[str, Mapping[str, Any]]] = ()
    id: str | None = None
    model: str = ""
    version: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def http_body(request: Request, *, raw: bool) -> tuple[bytes, str | None]:
    """Return the body, and the length of its JSON if tensors follow."""
    inputs = []
    for each in request.inputs:
        given = {"name": each.name, "datatype": each.datatype, "shape": each.sizes}
        parameters = dict(each.parameters)
        if raw:
            parameters["binary_data_size"] = len(each.content)
        else:
            given["data"] = [value.decode() if isinstance(value, bytes) else value for value in each.values]
        inputs.append(given | ({"parameters": parameters} if parameters else {}))
    document: dict[str, Any] = {"inputs": inputs}
    if request.id is not None:
        document["id"] = request.id
    if request.parameters or raw:
        document["parameters"] = ({"binary_data_output": True} if raw else {}) | dict(request.parameters)
    if request.outputs:
        document["outputs"] = [{"name": name, "parameters": dict(given)} for name, given in request.outputs]
    header = json.dumps(document).encode()
    if not raw:
        return header, None
    return header + b"".join(each.content for each in request.inputs), str(len(header))


def grpc_message(request: Request, *, raw: bool) -> bytes:
    """Return the serialized message."""
    message = messages.REQUESTS["ModelInfer"](
        id=request.id or "", model_name=request.model, model_version=request.version
    )
    _fill(message.parameters, request.parameters)
    for each in request.inputs:
        given = message.inputs.add(name=each.name, datatype=each.datatype, shape=each.sizes)
        _fill(given.parameters, each.parameters)
        if raw:
            message.raw_input_contents.append(each.content)
        else:
            getattr(given.contents, FIELDS.get(each.datatype, "uint_contents")).extend(each.values)
    for name, parameters in request.outputs:
        _fill(message.outputs.add(name=name).parameters, parameters)
    content = message.SerializeToString()
    assert isinstance(content, bytes)
    return content


def _fill(parameters: Any, given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        put(parameters[key], value)


@dataclass(frozen=True)
class Form:
    """The protocol and the encoding of the data: binary, or as numbers."""

    is_grpc: bool
    is_raw: bool

    def read(
        self,
        request: Request,
        *,
        accepted: Inputs = IMAGES,
        outputs: Mapping[str, TensorSpec] = LOGITS,
        max_batch: int = 8,
    ) -> InferRequest:
        """Encode a request and parse it as the server does."""
        limits: Any = {"accepted": accepted, "outputs": outputs, "max_batch": max_batch}
        if self.is_grpc:
            return grpc.parse(grpc.receive(grpc_message(request, raw=self.is_raw)), **limits)
        return http.parse(*http_body(request, raw=self.is_raw), **limits)


FORMS = {
    "json": Form(is_grpc=False, is_raw=False),
    "binary": Form(is_grpc=False, is_raw=True),
    "contents": Form(is_grpc=True, is_raw=False),
    "raw contents": Form(is_grpc=True, is_raw=True),
}
