"""A ModelInferRequest's bytes to tensors that the model can take, or to the refusal that says what is wrong with them.

Open Inference Protocol v2, gRPC, ModelInfer. What is wrong is said in the words of HTTP's requests, which are read into
the same mapping.
"""

from collections.abc import Mapping
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
    """A request as it stands in its message; nothing has been held against a model.

    Attributes:
        message: a ModelInferRequest without its raw tensors.
        body: the whole message as it came.
        described_bytes: of all but the raw tensors.
        raw: of each raw tensor, where it begins in the body and how many bytes it has.
    """

    message: Any
    body: bytes
    described_bytes: int
    raw: list[tuple[int, int]]


def receive(body: bytes) -> Received:
    """Read a message as far as to know which model it is for.

    Raises:
        Refusal: it is no ModelInferRequest ("invalid"), or too much of it is no raw tensor ("too_large").
    """
    description, raw = split(body)
    return Received(messages.request("ModelInfer", description), body, len(description), raw)


def parse(
    received: Received,
    *,
    accepted: Accepted,
    outputs: Mapping[str, TensorSpec],
    max_batch: int,
    max_described_bytes: int = MAX_DESCRIPTION_BYTES,
) -> InferRequest:
    """Read a request as `edgecnn.protocol.request.parse` does.

    Raises:
        Refusal: the request is malformed, or not one to this model ("invalid"), or has more than `max_described_bytes`
            besides raw tensors ("too_large").
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
    """Write a message as the same request stands in JSON, but for the data."""
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
    if message.id:  # protobuf does not tell an empty text from none
        plain["id"] = message.id
    return plain


def _parameters(holder: Any) -> dict[str, Any]:
    """Return parameters as plain values; null where a client has set none of the kinds."""
    plain = {}
    for key, parameter in holder.parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        plain[key] = None if kind is None else getattr(parameter, kind)
    return plain
