"""The protobuf messages match tritonclient's, and work with it in one process."""

import subprocess
import sys
from typing import Any

import pytest
from descriptors import DESCRIPTORS, PROTO, compiled
from google.protobuf import descriptor_pb2
from google.protobuf.json_format import ParseError
from tritonclient.grpc import model_config_pb2, service_pb2

from edgecnn.protocol.grpc import messages
from edgecnn.protocol.refusal import Refusal

CALLS = sorted(messages.REQUESTS)
OURS_ALONE = {"inference.ModelMetadataResponse.properties", "inference.ModelMetadataResponse.PropertiesEntry"}
"""Fields of the protocol that Triton lacks."""


def described(files: descriptor_pb2.FileDescriptorSet) -> dict[str, Any]:
    """Return every message, field, enumeration and value by its full name."""
    found: dict[str, Any] = {}
    for file in files.file:
        for enum in file.enum_type:
            found |= values_of(file.package, enum)
        for message in file.message_type:
            found |= fields_of(file.package, message)
    return found


def fields_of(scope: str, message: descriptor_pb2.DescriptorProto) -> dict[str, Any]:
    name = f"{scope}.{message.name}"
    found: dict[str, Any] = {name: bool(message.options.map_entry)}
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
        found[f"{name}.{field.name}"] = (field.number, field.type, field.label, field.type_name, oneof)
    for enum in message.enum_type:
        found |= values_of(name, enum)
    for nested in message.nested_type:
        found |= fields_of(name, nested)
    return found


def values_of(scope: str, enum: descriptor_pb2.EnumDescriptorProto) -> dict[str, Any]:
    return {f"{scope}.{enum.name}.{value.name}": value.number for value in enum.value}


def of_a_client() -> dict[str, Any]:
    files = descriptor_pb2.FileDescriptorSet()
    for module in (service_pb2, model_config_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    return described(files)


def test_committed_descriptors_are_up_to_date():
    committed = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    assert committed == descriptor_pb2.FileDescriptorSet.FromString(compiled()), "run scripts/descriptors.py"
    assert [file.name for file in committed.file] == [PROTO.name]
    assert messages.DESCRIPTORS == DESCRIPTORS


def test_fields_match_the_client_s():
    ours = described(descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()))
    theirs = of_a_client()
    differing = {name for name, what in ours.items() if theirs.get(name) != what}
    assert {name for name in differing if not name.startswith(tuple(OURS_ALONE))} == set()
    assert differing >= OURS_ALONE
    assert ours["inference.ModelMetadataResponse.properties"][0] == 6


def test_calls_match_the_client_s():
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    for method in messages.SERVICE.methods:
        assert method.input_type.full_name == theirs[method.name].input_type.full_name
        assert method.output_type.full_name == theirs[method.name].output_type.full_name
        assert not theirs[method.name].client_streaming


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["ours-first", "client-first"])
def test_works_with_tritonclient_in_one_process(order: tuple[int, int]):
    lines = ["from edgecnn.protocol.grpc import messages as ours", "import tritonclient.grpc as theirs"]
    code = "\n".join([lines[index] for index in order])
    code += "\nrequest = theirs.service_pb2.ModelReadyRequest(name='é', version='1').SerializeToString()"
    code += "\nassert ours.request('ModelReady', request).name == 'é'"
    code += (
        "\nassert theirs.service_pb2.ModelReadyResponse.FromString(ours.answer('ModelReady', {'ready': True})).ready"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("call", CALLS)
def test_rejects_malformed_protobuf(call: str):
    with pytest.raises(Refusal, match=f"expected a {call}Request, found malformed protobuf") as caught:
        messages.request(call, b"\x0a\xff")
    assert caught.value.status == 400


def test_rejects_text_that_is_not_utf8():
    with pytest.raises(Refusal, match="or text that is not UTF-8"):
        messages.request("ModelReady", b"\x0a\x02\xc3\x28")


def test_skips_unknown_fields():
    request = service_pb2.ModelReadyRequest(name="m").SerializeToString() + b"\xfa\x01\x03abc\xf8\x01\x07"
    assert messages.request("ModelReady", request).name == "m"


def test_answer_rejects_unknown_fields():
    with pytest.raises(ParseError):
        messages.answer("ServerLive", {"alive": True})
