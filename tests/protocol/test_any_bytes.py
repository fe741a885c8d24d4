"""Random requests over HTTP and gRPC: each is read correctly, or refused."""

import json
from typing import Any

import numpy as np
import pytest
from grpc_messages import infer, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from infer_requests import FORMS, Form, Request, Tensor
from protocol_models import IMAGES, LOGITS, Inputs
from tritonclient.grpc import service_pb2

from edgecnn.protocol import request as http
from edgecnn.protocol.datatypes import DTYPES, TensorSpec
from edgecnn.protocol.grpc import request as grpc
from edgecnn.protocol.grpc.contents import FIELDS
from edgecnn.protocol.refusal import Refusal

quietly = settings(deadline=None, derandomize=True, max_examples=100)
MODEL: dict[str, Any] = {"outputs": LOGITS, "max_batch": 8}


@st.composite
def tensors(draw: st.DrawFn, name: str, batch: int, form: Form) -> Tensor:
    """Draw an input of any shape, and of any datatype and values that the form supports."""
    shape = [batch, *draw(st.lists(st.integers(1, 3), max_size=2))]
    count = int(np.prod(shape))
    datatypes = {*DTYPES, "BYTES"} - (set() if form.is_raw else {"FP16"}) - ({"BYTES"} if is_json(form) else set())
    datatype = draw(st.sampled_from(sorted(datatypes)))
    if datatype == "BYTES":
        files = tuple(draw(st.lists(st.binary(max_size=6), min_size=count, max_size=count)))
        return Tensor(files, name, datatype, shape)
    raw = draw(st.binary(min_size=8 * count, max_size=8 * count))
    if datatype == "BOOL":
        return Tensor(np.frombuffer(raw, np.uint8, count).reshape(shape) > 127, name, datatype)
    numbers = np.frombuffer(raw, DTYPES[datatype], count).reshape(shape)
    if is_json(form) and datatype.startswith("FP"):
        numbers = np.nan_to_num(numbers)
    return Tensor(numbers, name, datatype)


def is_json(form: Form) -> bool:
    return form == FORMS["json"]


@st.composite
def requests(draw: st.DrawFn, form: Form) -> Request:
    """Draw a request of one to three inputs."""
    batch = draw(st.integers(1, 3))
    inputs = [draw(tensors(f"x{index}", batch, form)) for index in range(draw(st.integers(1, 3)))]
    return Request(inputs, id=draw(st.text(max_size=5)))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@quietly
@given(data=st.data())
def test_reads_any_request(form: Form, data: st.DataObject):
    drawn = data.draw(requests(form))
    accepted = {each.name: (TensorSpec(each.name, each.datatype, (-1, *each.sizes[1:])),) for each in drawn.inputs}
    found = form.read(drawn, accepted=accepted)
    assert (found.id or "") == drawn.id
    assert list(found.inputs) == [each.name for each in drawn.inputs]
    for each in drawn.inputs:
        array = found.inputs[each.name]
        if not isinstance(each.data, np.ndarray):
            assert array == each.data
            continue
        assert isinstance(array, np.ndarray)
        assert array.dtype == each.data.dtype
        assert np.array_equal(array, each.data, equal_nan=each.data.dtype.kind == "f")


GOOD_JSON = json.dumps(
    {
        "id": "é7",
        "parameters": {"timeout": 5, "binary_data_output": True},
        "inputs": [
            {"name": "image", "shape": [1, 2, 2, 1], "datatype": "UINT8", "parameters": {"binary_data_size": 4}}
        ],
        "outputs": [{"name": "logits", "parameters": {"classification": 2, "binary_data": False}}],
    },
    ensure_ascii=False,
).encode()
GOOD_MESSAGE = infer(
    id="é7",
    parameters={"timeout": 5, "a": "b"},
    inputs=[tensor(), tensor("other", contents={"uint_contents": [1, 2]})],
    outputs=[{"name": "logits"}],
).SerializeToString()
edits = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3)), max_size=4)


def edited(body: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for where, cut, put in changes:
        place = where % (len(body) + 1)
        body = body[:place] + put + body[place + cut :]
    return body


@quietly
@given(edits, st.integers(-3, 3))
def test_changed_json_is_read_or_refused(changes: list[tuple[int, int, bytes]], shift: int):
    body = edited(GOOD_JSON + b"\1\2\3\4", changes)
    read_or_refuse_http(body, str(len(GOOD_JSON) + shift))
    read_or_refuse_http(body, None)


@quietly
@given(edits)
def test_changed_message_is_read_or_refused(changes: list[tuple[int, int, bytes]]):
    read_or_refuse_grpc(edited(GOOD_MESSAGE, changes))


@quietly
@given(st.binary(max_size=64), st.none() | st.text(max_size=4) | st.integers(0, 70).map(str))
def test_any_bytes_are_read_or_refused(body: bytes, length: str | None):
    read_or_refuse_http(body, length)
    read_or_refuse_grpc(body)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
paths = st.lists(st.integers(0, 5), min_size=1, max_size=6)


@quietly
@given(paths, json_values)
def test_any_json_anywhere_is_read_or_refused(path: list[int], value: Any):
    request = json.loads(GOOD_JSON)
    holder: Any = request
    for step in path[:-1]:
        inner = holder[key_of(holder, step)]
        if not isinstance(inner, dict | list):
            break
        holder = inner
    holder[key_of(holder, path[-1])] = value
    header = json.dumps(request).encode()
    read_or_refuse_http(header + b"\1\2\3\4", str(len(header)))


@pytest.mark.parametrize("datatype", [*DTYPES, "BYTES"])
@quietly
@given(data=json_values | st.lists(json_values, min_size=2, max_size=2))
def test_any_json_as_data_is_read_or_refused(datatype: str, data: Any):
    entry = {"name": "x", "datatype": datatype, "shape": [1, 2], "data": data}
    accepted = {"x": (TensorSpec("x", datatype, (-1, 2)),)}
    read_or_refuse_http(json.dumps({"inputs": [entry]}).encode(), None, accepted)


def key_of(holder: dict[str, Any] | list[Any], step: int) -> Any:
    keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    return keys[step % len(keys)]


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
def test_any_message_is_read_or_refused(
    inputs: list[Any], outputs: list[str], given_parameters: dict[str, Any], raw: list[bytes]
):
    message = infer(
        inputs=[tensor(name, datatype, shape, contents=each) for name, datatype, shape, each in inputs],
        outputs=[{"name": name} for name in outputs],
        parameters=given_parameters,
        raw_input_contents=raw,
    )
    read_or_refuse_grpc(message.SerializeToString())


@pytest.mark.parametrize("datatype", sorted(FIELDS))
@quietly
@given(data=st.data())
def test_any_contents_are_read_or_refused(datatype: str, data: st.DataObject):
    accepted = {"x": (TensorSpec("x", datatype, (-1, 2)),)}
    message = infer(inputs=[tensor("x", datatype, (1, 2), contents=data.draw(contents))], raw_input_contents=[])
    read_or_refuse_grpc(message.SerializeToString(), accepted)


def check(refusal: Refusal) -> None:
    assert refusal.status == 400
    assert str(refusal).isprintable()
    assert len(str(refusal)) < 1000


def read_or_refuse_http(body: bytes, length: str | None, accepted: Inputs = IMAGES) -> None:
    try:
        http.parse(body, length, accepted=accepted, **MODEL)
    except Refusal as refusal:
        check(refusal)


def read_or_refuse_grpc(body: bytes, accepted: Inputs = IMAGES) -> None:
    """Read a message, and compare the result with the client library's, or check the error."""
    try:
        received = grpc.receive(body)
    except Refusal as refusal:
        check(refusal)
        return
    theirs = service_pb2.ModelInferRequest.FromString(body)
    assert [body[start : start + size] for start, size in received.raw] == list(theirs.raw_input_contents)
    theirs.ClearField("raw_input_contents")
    ours = service_pb2.ModelInferRequest.FromString(received.message.SerializeToString())
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)
    try:
        grpc.parse(received, accepted=accepted, **MODEL)
    except Refusal as refusal:
        check(refusal)
