"""Whatever is sent: it is understood as it was meant, or refused."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_models import IMAGES, LOGITS, Inputs

from edgecnn.protocol import bytes_tensors
from edgecnn.protocol.datatypes import DTYPES, TensorSpec
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.request import parse

quietly = settings(deadline=None, derandomize=True, max_examples=100)

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


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray | tuple[bytes, ...], list[int]]:
    """Draw a datatype, a tensor and its shape."""
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    count = int(np.prod(shape))
    datatype = draw(st.sampled_from([*DTYPES, "BYTES"]))
    if datatype == "BYTES":
        return datatype, tuple(draw(st.lists(st.binary(max_size=6), min_size=count, max_size=count))), shape
    raw = draw(st.binary(min_size=8 * count, max_size=8 * count))
    if datatype == "BOOL":
        return datatype, np.frombuffer(raw, np.uint8, count).reshape(shape) > 127, shape
    return datatype, np.frombuffer(raw, DTYPES[datatype], count).reshape(shape), shape


def finite(tensor: Any) -> bool:
    return tensor.dtype.kind != "f" or bool(np.isfinite(tensor).all())


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, str, Inputs, dict[str, Any]]:
    """Draw a body, the length of its header, the model, and what the inputs are."""
    batch = draw(st.integers(1, 3))
    sent: dict[str, Any] = {}
    entries, parts, accepted = [], [], {}
    for index in range(draw(st.integers(1, 3))):
        datatype, tensor, shape = draw(tensors().filter(lambda drawn: drawn[2][0] == batch))
        name = f"x{index}"
        entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if isinstance(tensor, tuple) or datatype == "FP16" or not finite(tensor) or draw(st.booleans()):
            raw = bytes_tensors.encode(tensor) if isinstance(tensor, tuple) else tensor.tobytes()
            entry["parameters"] = {"binary_data_size": len(raw)}
            parts.append(raw)
        else:
            entry["data"] = (tensor if draw(st.booleans()) else tensor.ravel()).tolist()
        accepted[name] = (TensorSpec(name, datatype, (-1, *shape[1:])),)
        sent[name] = tensor
        entries.append(entry)
    header = json.dumps({"inputs": entries}).encode() + b" " * draw(st.integers(0, 7))
    return header + b"".join(parts), str(len(header)), accepted, sent


@quietly
@given(requests())
def test_what_is_sent_arrives(drawn: tuple[bytes, str, Inputs, dict[str, Any]]):
    body, length, accepted, sent = drawn
    found = parse(body, length, accepted=accepted, outputs=LOGITS, max_batch=3).inputs
    assert list(found) == list(sent)
    for name, tensor in sent.items():
        if isinstance(tensor, tuple):
            assert found[name] == tensor
        else:
            assert np.array_equal(found[name], tensor, equal_nan=tensor.dtype.kind == "f")
            assert isinstance(found[name], np.ndarray)
            assert found[name].dtype == tensor.dtype


GOOD = json.dumps(
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
edits = st.lists(st.tuples(st.integers(0, len(GOOD) + 4), st.integers(0, 3), st.binary(max_size=3)), max_size=4)


@quietly
@given(edits, st.integers(-3, 3))
def test_a_request_with_bytes_changed_is_read_or_refused(edited: list[tuple[int, int, bytes]], shift: int):
    body = GOOD + b"\1\2\3\4"
    for place, cut, put in edited:
        body = body[:place] + put + body[place + cut :]
    read_or_refuse(body, str(len(GOOD) + shift))
    read_or_refuse(body, None)


@quietly
@given(st.binary(max_size=64), st.none() | st.text(max_size=4) | st.integers(0, 70).map(str))
def test_any_bytes_are_read_or_refused(body: bytes, length: str | None):
    read_or_refuse(body, length)


@quietly
@given(paths, json_values)
def test_a_request_with_any_json_in_any_place_is_read_or_refused(path: list[int], value: Any):
    request = json.loads(GOOD)
    holder: Any = request
    for step in path[:-1]:
        inner = holder[key_of(holder, step)]
        if not isinstance(inner, dict | list):
            break
        holder = inner
    holder[key_of(holder, path[-1])] = value
    header = json.dumps(request).encode()
    read_or_refuse(header + b"\1\2\3\4", str(len(header)))


@pytest.mark.parametrize("datatype", [*DTYPES, "BYTES"])
@quietly
@given(data=json_values | st.lists(json_values, min_size=2, max_size=2))
def test_any_json_as_data_is_read_or_refused(datatype: str, data: Any):
    entry = {"name": "x", "datatype": datatype, "shape": [1, 2], "data": data}
    accepted = {"x": (TensorSpec("x", datatype, (-1, 2)),)}
    read_or_refuse(json.dumps({"inputs": [entry]}).encode(), None, accepted)


def read_or_refuse(body: bytes, length: str | None, accepted: Inputs = IMAGES) -> None:
    refusal = refusal_of(body, length, accepted)
    if refusal is not None:
        assert refusal.status == 400
        assert str(refusal).isprintable()
        assert len(str(refusal)) < 1000


def key_of(holder: dict[str, Any] | list[Any], step: int) -> Any:
    keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    return keys[step % len(keys)]


def refusal_of(body: bytes, length: str | None, accepted: Inputs) -> Refusal | None:
    try:
        parse(body, length, accepted=accepted, outputs=LOGITS, max_batch=8)
    except Refusal as refusal:
        return refusal
    return None
