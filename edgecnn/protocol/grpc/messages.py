"""The messages of `open_inference.proto` as classes, beside which a client's for the same protocol may stand.

Generated code would register the messages in protobuf's default pool, where a name can stand once: whoever came second,
a server with it or `tritonclient.grpc`, could not be imported. Here they stand in a pool of their own.
"""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError, Message

from edgecnn.protocol.wording import invalid

DESCRIPTORS = Path(__file__).with_name("open_inference.binpb")
"""What `scripts/descriptors.py` has compiled."""

_POOL = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
    _POOL.Add(_file)

SERVICE = _POOL.FindServiceByName("inference.GRPCInferenceService")
"""The service's descriptor."""

REQUESTS: dict[str, type[Message]] = {
    method.name: message_factory.GetMessageClass(method.input_type) for method in SERVICE.methods
}
"""What each call takes, by the call's name."""

ANSWERS: dict[str, type[Message]] = {
    method.name: message_factory.GetMessageClass(method.output_type) for method in SERVICE.methods
}
"""What each call gives, likewise."""


def request(call: str, content: bytes) -> Any:
    """Read the request of a call, with its fields as attributes; raises `Refusal` if it is no such message."""
    try:
        return REQUESTS[call].FromString(content)
    except DecodeError:
        name = REQUESTS[call].DESCRIPTOR.name
        raise invalid(f"expected a {name}, found bytes that are none, or a text that is not UTF-8") from None


def answer(call: str, document: Any) -> bytes:
    """Write the response of a call from the same response as JSON values."""
    message: Message = json_format.ParseDict(document, ANSWERS[call](), descriptor_pool=_POOL)
    content: bytes = message.SerializeToString()
    return content
