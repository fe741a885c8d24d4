"""The messages of `open_inference.proto` as classes, in a separate descriptor pool.

Generated code registers messages in protobuf's default pool, where each name may exist only once. It could not be
imported together with `tritonclient.grpc`, which defines the same names.
"""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError, Message

from edgecnn.protocol.wording import invalid

DESCRIPTORS = Path(__file__).with_name("open_inference.binpb")
"""Output of `scripts/descriptors.py`."""

_POOL = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
    _POOL.Add(_file)

SERVICE = _POOL.FindServiceByName("inference.GRPCInferenceService")
"""The service's descriptor."""

REQUESTS: dict[str, type[Message]] = {
    method.name: message_factory.GetMessageClass(method.input_type) for method in SERVICE.methods
}
"""Class of the request of each call."""

ANSWERS: dict[str, type[Message]] = {
    method.name: message_factory.GetMessageClass(method.output_type) for method in SERVICE.methods
}
"""Class of the response of each call."""


def request(call: str, content: bytes) -> Any:
    """Parse the request of a call; raises `Refusal` if it is malformed."""
    try:
        return REQUESTS[call].FromString(content)
    except DecodeError:
        name = REQUESTS[call].DESCRIPTOR.name
        raise invalid(f"expected a {name}, found malformed protobuf, or text that is not UTF-8") from None


def answer(call: str, document: Any) -> bytes:
    """Encode the response of a call, given as JSON values."""
    message: Message = json_format.ParseDict(document, ANSWERS[call](), descriptor_pool=_POOL)
    content: bytes = message.SerializeToString()
    return content
