"""Decodes a ModelInferRequest into tensors for the model.

Open Inference Protocol v2, gRPC, ModelInfer. Requests over HTTP are read into the same mapping, so both get the same
errors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.protocol.grpc import messages
from edgecnn.protocol.grpc.contents import read_typed, reader_of_raw
from edgecnn.protocol.grpc.splitting import MAX_DESCRIPTION_BYTES, check_description, split
from edgecnn.protocol.matching import Accepted
from edgecnn.protocol.request import InferRequest, understand
from edgecnn.protocol.wording import invalid


@dataclass(frozen=True, slots=True)
class Received:
    """A parsed request that is not checked against a model yet.

    Attributes:
        message: a ModelInferRequest without its raw tensors.
        body: the whole message.
        described_bytes: size of the message without raw tensors.
        raw: offset in the body and size in bytes of each raw tensor.
    """

    message: Any
    body: bytes
    described_bytes: int
    raw: list[tuple[int, int]]


_PARSED_SIZE = 10
"""Memory of a parsed message without its raw tensors, as a multiple of its encoded size."""


def receive(body: bytes, *, reserve: Callable[[int], object] = lambda size: None) -> Received:
    """Parse a message, so that the name of its model is available.

    `reserve` is called before, with the memory in bytes that the parsed message takes besides the body; it may raise
    Refusal.

    Raises:
        Refusal: it is not a ModelInferRequest ("invalid"), or too large without raw tensors ("too_large").
    """
    description, raw = split(body)
    reserve(_PARSED_SIZE * len(description))
    return Received(messages.request("ModelInfer", description), body, len(description), raw)


def parse(
    received: Received,
    *,
    accepted: Accepted,
    outputs: Mapping[str, TensorSpec],
    max_batch: int,
    max_described_bytes: int = MAX_DESCRIPTION_BYTES,
) -> InferRequest:
    """Check a request against the model, as `edgecnn.protocol.request.parse` does.

    Raises:
        Refusal: the request is malformed or does not match the model ("invalid"), or has more than
            `max_described_bytes` besides raw tensors ("too_large").
    """
    check_description(received.described_bytes, max_described_bytes)
    message, raw = received.message, received.raw
    if raw and len(raw) != len(message.inputs):
        raise invalid(
            f"raw_input_contents: expected one for each of the {len(message.inputs)} inputs, found {len(raw)}"
        )
    read = reader_of_raw(received.body, raw) if raw else read_typed
    return understand(
        _plain(message), read, accepted=accepted, outputs=outputs, max_batch=max_batch, always_binary=True
    )


def _plain(message: Any) -> dict[str, Any]:
    """Return a message as the mapping of the same JSON request, except for the data."""
    plain: dict[str, Any] = {
        "parameters": _parameters(message),
        "inputs": [
            {
                "name": each.name,
                "datatype": each.datatype,
                "shape": list(each.shape),
                "parameters": _parameters(each),
                "contents": each.contents.ListFields(),
            }
            for each in message.inputs
        ],
        "outputs": [{"name": each.name, "parameters": _parameters(each)} for each in message.outputs],
    }
    if message.id:  # in protobuf, an empty string and a missing one are equal
        plain["id"] = message.id
    return plain


def _parameters(holder: Any) -> dict[str, Any]:
    """Return parameters as plain values; None for a parameter without a value."""
    plain = {}
    for key, parameter in holder.parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        plain[key] = None if kind is None else getattr(parameter, kind)
    return plain
