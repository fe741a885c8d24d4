"""Whatever is sent as a protobuf message: it is understood as it was meant, and as HTTP would, or refused."""

import json
from typing import Any

import numpy as np
import pytest
from grpc_messages import ask, infer, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_models import IMAGES, LOGITS, Inputs
from tritonclient.grpc import service_pb2

from edgecnn.protocol import bytes_tensors, request
from edgecnn.protocol.datatypes import DTYPES, TensorSpec
from edgecnn.protocol.grpc.contents import FIELDS
from edgecnn.protocol.grpc.request import parse, receive
from edgecnn.protocol.refusal import Refusal

quietly = settings(deadline=None, derandomize=True, max_examples=100)


@st.composite
def arrays(draw: st.DrawFn, batch: int) -> tuple[str, np.ndarray | tuple[bytes, ...], list[int]]:
    """Draw a datatype, a tensor and its shape."""
    shape = [batch, *draw(st.lists(st.integers(1, 3), max_size=2))]
    count = int(np.prod(shape))
    datatype = draw(st.sampled_from([*DTYPES, "BYTES"]))
    if datatype == "BYTES":
        return datatype, tuple(draw(st.lists(st.binary(max_size=6), min_size=count, max_size=count))), shape
    raw = draw(st.binary(min_size=8 * count, max_size=8 * count))
    if datatype == "BOOL":
        return datatype, np.frombuffer(raw, np.uint8, count).reshape(shape) > 127, shape
    return datatype, np.frombuffer(raw, DTYPES[datatype], count).reshape(shape), shape


@st.composite
def requests(draw: st.DrawFn) -> tuple[Any, Inputs, dict[str, Any]]:
    """Draw a message, the model, and what the inputs are."""
    batch = draw(st.integers(1, 3))
    drawn = draw(st.lists(arrays(batch), min_size=1, max_size=3))
    raw = draw(st.booleans()) or any(datatype == "FP16" for datatype, _, _ in drawn)
    sent, accepted, inputs, parts = {}, {}, [], []
    for index, (datatype, found, shape) in enumerate(drawn):
        name = f"x{index}"
        sent[name] = found
        accepted[name] = (TensorSpec(name, datatype, (-1, *shape[1:])),)
        given = tensor(name, datatype, shape)
        if raw:
            parts.append(bytes_tensors.encode(found) if isinstance(found, tuple) else found.tobytes())
        else:
            elements = found if isinstance(found, tuple) else found.ravel().tolist()
            given["contents"] = {FIELDS[datatype]: elements}
        inputs.append(given)
    identity = draw(st.text(max_size=5))
    return infer(id=identity, inputs=inputs, raw_input_contents=parts), accepted, sent


@quietly
@given(requests())
def test_what_is_sent_arrives(drawn: tuple[Any, Inputs, dict[str, Any]]):
    message, accepted, sent = drawn
    found = ask(message, accepted=accepted)
    assert (found.id or "") == message.id
    assert list(found.inputs) == list(sent)
    for name, expected in sent.items():
        if isinstance(expected, tuple):
            assert found.inputs[name] == expected
        else:
            array = found.inputs[name]
            assert isinstance(array, np.ndarray)
            assert array.dtype == expected.dtype
            assert np.array_equal(array, expected, equal_nan=expected.dtype.kind == "f")


@quietly
@given(requests())
def test_http_reads_the_same_from_the_same_tensors(drawn: tuple[Any, Inputs, dict[str, Any]]):
    message, accepted, sent = drawn
    parts = [bytes_tensors.encode(each) if isinstance(each, tuple) else each.tobytes() for each in sent.values()]
    document = {
        "inputs": [
            {
                "name": each.name,
                "datatype": each.datatype,
                "shape": list(each.shape),
                "parameters": {"binary_data_size": len(part)},
            }
            for each, part in zip(message.inputs, parts, strict=True)
        ]
    }
    header = json.dumps(document).encode()
    body = b"".join([header, *parts])
    over_http = request.parse(body, str(len(header)), accepted=accepted, outputs=LOGITS, max_batch=8)
    over_grpc = ask(message, accepted=accepted)
    assert over_grpc.inputs.keys() == over_http.inputs.keys()
    for name, tensor_of_http in over_http.inputs.items():
        found = over_grpc.inputs[name]
        if isinstance(tensor_of_http, tuple):
            assert found == tensor_of_http
        else:
            assert isinstance(found, np.ndarray)
            assert (found.dtype, found.shape) == (tensor_of_http.dtype, tensor_of_http.shape)
            assert found.tobytes() == tensor_of_http.tobytes()


GOOD = infer(
    id="é7",
    parameters={"timeout": 5, "a": "b"},
    inputs=[tensor(), tensor("other", contents={"uint_contents": [1, 2]})],
    outputs=[{"name": "logits"}],
).SerializeToString()
edits = st.lists(st.tuples(st.integers(0, len(GOOD) + 4), st.integers(0, 3), st.binary(max_size=3)), max_size=4)


@quietly
@given(edits)
def test_a_request_with_bytes_changed_is_read_or_refused(edited: list[tuple[int, int, bytes]]):
    body = GOOD
    for place, cut, put in edited:
        body = body[:place] + put + body[place + cut :]
    read_or_refuse(body)


@quietly
@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(body: bytes):
    read_or_refuse(body)


names = st.text(max_size=8) | st.just("image")
parameters = st.dictionaries(
    st.sampled_from(["timeout", "classification", "binary_data", "shared_memory_region"]) | st.text(max_size=3),
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=4) | st.floats(),
    max_size=3,
)
shapes = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2), max_size=5)
contents = st.fixed_dictionaries(
    {},
    optional={
        "uint_contents": st.lists(st.integers(0, 2**32 - 1), max_size=5),
        "fp32_contents": st.lists(st.floats(width=32), max_size=5),
        "bytes_contents": st.lists(st.binary(max_size=3), max_size=3),
    },
)


@quietly
@given(
    st.lists(st.tuples(names, st.sampled_from([*DTYPES, "BYTES", "BF16", "x\n"]), shapes, contents), max_size=3),
    st.lists(names | st.just("logits"), max_size=3),
    parameters,
    st.lists(st.binary(max_size=8), max_size=3),
)
def test_a_message_with_anything_in_any_field_is_read_or_refused(
    inputs: list[Any], outputs: list[str], given_parameters: dict[str, Any], raw: list[bytes]
):
    message = infer(
        inputs=[tensor(name, datatype, shape, contents=each) for name, datatype, shape, each in inputs],
        outputs=[{"name": name} for name in outputs],
        parameters=given_parameters,
        raw_input_contents=raw,
    )
    read_or_refuse(message.SerializeToString())


@pytest.mark.parametrize("datatype", sorted(FIELDS))
@quietly
@given(data=st.data())
def test_any_elements_as_contents_are_read_or_refused(datatype: str, data: st.DataObject):
    accepted = {"x": (TensorSpec("x", datatype, (-1, 2)),)}
    message = infer(inputs=[tensor("x", datatype, (1, 2), contents=data.draw(contents))], raw_input_contents=[])
    read_or_refuse(message.SerializeToString(), accepted)


def read_or_refuse(body: bytes, accepted: Inputs = IMAGES) -> None:
    refusal = refusal_of(body, accepted)
    if refusal is not None:
        assert refusal.status == 400
        assert str(refusal).isprintable()
        assert len(str(refusal)) < 1000


def refusal_of(body: bytes, accepted: Inputs) -> Refusal | None:
    """Read a message, or be refused; what a client's own reader makes of the bytes is made of them here too."""
    try:
        received = receive(body)
    except Refusal as refusal:
        return refusal
    theirs = service_pb2.ModelInferRequest.FromString(body)
    assert [body[start : start + size] for start, size in received.raw] == list(theirs.raw_input_contents)
    theirs.ClearField("raw_input_contents")
    ours = service_pb2.ModelInferRequest.FromString(received.message.SerializeToString())
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)
    try:
        parse(received, accepted=accepted, outputs=LOGITS, max_batch=8)
    except Refusal as refusal:
        return refusal
    return None
