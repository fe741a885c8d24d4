"""A request's bytes to tensors that the model can take, or to the refusal that says what is wrong with them.

Open Inference Protocol v2, inference request, with Triton's binary tensor data and classification extensions
(Triton Inference Server, docs/protocol/extension_binary_data.md and extension_classification.md). Three rules of this
server: an optional field is left out, never null; of a key that stands twice in an object the last one counts; raw BOOL
has no other bytes than 0 and 1.
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
    """A request that the model can take.

    Not frozen, as that costs a microsecond of the ten that a small request takes; nobody changes it all the same.

    Attributes:
        id: what the client calls it; None where it did not say.
        inputs: all that the model has, by name. Arrays may lie in the body and cannot be written to.
        outputs: at least one, in the order in which they are answered.
        timeout_s: after which nobody waits for the answer; None for ever.
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
) -> InferRequest:
    """Read a request.

    Args:
        body: as the client meant it, with no encoding on it.
        header_length: the text of `Inference-Header-Content-Length`; None where there was no such header.
        accepted: as what each input may come; of several that fit, the first.
        outputs: what the model answers.
        max_batch: the most that axis 0 may have.
        max_json_bytes: the most that is read as JSON; raw tensors do not count.

    Raises:
        Refusal: the request is malformed, or not one to this model ("invalid"), or its JSON is too long ("too_large").
    """
    if not body:
        raise invalid("request body is empty")
    length = len(body) if header_length is None else header.length_of(header_length, size=len(body))
    if length == 0:
        return _raw(body, accepted, outputs)
    request = header.load(body[:length], max_bytes=max_json_bytes)

    def read(name: str, given: Mapping[str, Any], datatype: str, shape: tuple[int, ...]) -> Tensor:
        """Read data within the JSON, or behind it, where the inputs follow each other."""
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
            raise invalid(f"input '{name}': binary_data_size is {size}, but {left} bytes are left of the body")
        length += size
        return tensors.from_raw(name, datatype, shape, body=body, start=start, size=size)

    understood = understand(request, read, accepted=accepted, outputs=outputs, max_batch=max_batch)
    if length < len(body):
        raise invalid(f"unexpected {len(body) - length} additional bytes behind the last input")
    return understood


def understand(
    request: Mapping[str, Any],
    read: Reader,
    *,
    accepted: Accepted,
    outputs: Mapping[str, TensorSpec],
    max_batch: int,
    always_binary: bool = False,
) -> InferRequest:
    """Check a request in the protocol's words against the model; see `parse`."""
    parameters = header.parameters_of(request, "request")
    inputs = inputs_of(request, read, accepted=accepted, max_batch=max_batch)
    wanted = outputs_of(request, outputs, always_binary=always_binary)
    timeout_us = header.natural(parameters, "timeout", "request")
    return InferRequest(header.id_of(request), inputs, wanted, timeout_us / 1e6 if timeout_us else None)


def _raw(body: bytes, accepted: Accepted, outputs: Mapping[str, TensorSpec]) -> InferRequest:
    """Take the whole body as the only input: a batch of one, as the first datatype that it may have."""
    if len(accepted) != 1:
        raise invalid(f"a raw request has one input; the model expects {names(accepted)}")
    ((name, specs),) = accepted.items()
    spec = specs[0]
    shape = (1, *spec.shape[1:])
    if -1 in shape:
        raise invalid(f"a raw request leaves no doubt of the shape; the model expects {name} as {spec}")
    if spec.datatype == "BYTES":
        if shape.count(1) != len(shape):
            raise invalid(f"a raw request has one element; the model expects {name} as {spec}")
        tensor: Tensor = (body,)  # the one tensor of BYTES that has no length in front
    else:
        tensor = tensors.from_raw(name, spec.datatype, shape, body=body, start=0, size=len(body))
    wanted = tuple(RequestedOutput(each, binary=True) for each in outputs)
    return InferRequest(None, {name: tensor}, wanted, None)
