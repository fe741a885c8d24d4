"""Decodes an inference request over HTTP into tensors for the model.

Open Inference Protocol v2, inference request, with Triton's binary tensor data and classification extensions
(Triton Inference Server, docs/protocol/extension_binary_data.md and extension_classification.md). This server is
stricter in two points: optional fields must not be null, and raw BOOL bytes must be 0 or 1. If a key occurs twice in an
object, the last one counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgecnn.protocol import header, tensors
from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.protocol.matching import Accepted, Reader, RequestedOutput, inputs_of, names, outputs_of
from edgecnn.protocol.tensors import Tensor
from edgecnn.protocol.wording import invalid


@dataclass(slots=True)
class InferRequest:
    """A checked request. Treat it as immutable: it is not frozen because that costs 1 µs of 10 for a small request.

    Attributes:
        id: the client's id; None if it sent none.
        inputs: all inputs of the model by name. Arrays are read-only and may be views of the body.
        outputs: at least one, in the order of the response.
        timeout_s: after which the client does not need the result; None for no limit.
    """

    id: str | None
    inputs: dict[str, Tensor]
    outputs: tuple[RequestedOutput, ...]
    timeout_s: float | None


def parse(
    body: bytes,
    header_length: str | None,
    *,
    accepted: Accepted,
    outputs: Mapping[str, TensorSpec],
    max_batch: int,
    max_json_bytes: int = header.MAX_JSON_BYTES,
    probabilities: bool = False,
) -> InferRequest:
    """Decode a request and check it against the model.

    Args:
        body: decompressed.
        header_length: the text of `Inference-Header-Content-Length`; None if the header is missing.
        accepted: allowed forms of each input; the first that matches is used.
        outputs: of the model.
        max_batch: maximum size of axis 0.
        max_json_bytes: maximum length of the JSON, without raw tensors.
        probabilities: default of the request parameter of this name; see `outputs_of`.

    Raises:
        Refusal: the request is malformed or does not match the model ("invalid"), or its JSON is too long
            ("too_large").
    """
    if not body:
        raise invalid("request body is empty")
    length = len(body) if header_length is None else header.length_of(header_length, size=len(body))
    if length == 0:
        return _raw(body, accepted, outputs_of({}, outputs, always_binary=True, probabilities=probabilities))
    request = header.load(body[:length], max_bytes=max_json_bytes)

    def read(name: str, given: Mapping[str, Any], datatype: str, shape: tuple[int, ...]) -> Tensor:
        """Read data in the JSON, or the next raw tensor after it."""
        nonlocal length
        parameters = header.parameters_of(given, "input")
        if "binary_data_size" not in parameters:
            if "data" not in given:
                raise invalid(f"input '{name}': expected data or binary_data_size, found neither")
            return tensors.from_json(name, datatype, shape, given["data"])
        if "data" in given:
            raise invalid(f"input '{name}': expected data or binary_data_size, found both")
        size = header.natural(parameters, "binary_data_size", "input")
        start, left = length, len(body) - length
        if size > left:
            raise invalid(f"input '{name}': expected at most {left} bytes as binary_data_size, found {size}")
        length += size
        return tensors.from_raw(name, datatype, shape, body=body, start=start, size=size)

    understood = understand(
        request, read, accepted=accepted, outputs=outputs, max_batch=max_batch, probabilities=probabilities
    )
    if length < len(body):
        raise invalid(f"unexpected {len(body) - length} additional bytes after the last input")
    return understood


def understand(
    request: Mapping[str, Any],
    read: Reader,
    *,
    accepted: Accepted,
    outputs: Mapping[str, TensorSpec],
    max_batch: int,
    always_binary: bool = False,
    probabilities: bool = False,
) -> InferRequest:
    """Check a request, as a mapping with the protocol's field names, against the model; see `parse`."""
    parameters = header.parameters_of(request, "request")
    inputs = inputs_of(request, read, accepted=accepted, max_batch=max_batch)
    wanted = outputs_of(request, outputs, always_binary=always_binary, probabilities=probabilities)
    timeout_us = header.natural(parameters, "timeout", "request")
    return InferRequest(header.id_of(request), inputs, wanted, timeout_us / 1e6 if timeout_us else None)


def _raw(body: bytes, accepted: Accepted, wanted: tuple[RequestedOutput, ...]) -> InferRequest:
    """Return a request whose body is the only input: a batch of one, of the first allowed datatype."""
    if len(accepted) != 1:
        raise invalid(f"a raw request needs a model with one input; the model expects {names(accepted)}")
    ((name, specs),) = accepted.items()
    spec = specs[0]
    shape = (1, *spec.shape[1:])
    if -1 in shape:
        raise invalid(f"a raw request needs an input of fixed size; the model expects {name} as {spec}")
    if spec.datatype == "BYTES":
        if shape.count(1) != len(shape):
            raise invalid(f"a raw request needs an input of one element; the model expects {name} as {spec}")
        tensor: Tensor = (body,)  # here the element has no length before it
    else:
        tensor = tensors.from_raw(name, spec.datatype, shape, body=body, start=0, size=len(body))
    return InferRequest(None, {name: tensor}, wanted, None)
