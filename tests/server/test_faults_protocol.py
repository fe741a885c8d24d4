"""Faults in JSON requests (rows 1 to 25 of the table of faults), over a real socket."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from asking import PIXELS, ask, good, image, raw_image, refusal
from broken_models import reseal
from onnx import helper, numpy_helper
from server_process import Server, serving

OBJECT = "request must be a JSON object, found "
DEEP = "nesting deeper than 1024"
INPUTS = "inputs: expected a list of at least one, found "
WANTED = "input 'image': expected UINT8 [-1,32,32,1] or BYTES [-1], found "
NUMBERS = "input 'image': expected integers of at most 64 bits as data, found "
LISTS = "input 'image': expected "


@pytest.fixture(autouse=True)
def _neighbour(server: Server) -> Iterator[None]:
    with server.good_neighbour():
        yield


def pixels(*last: Any) -> list[Any]:
    """Return pixels that end with `last`."""
    return [*PIXELS[len(last) :], *last]


def nested(rows: list[int]) -> list[Any]:
    """Return nested data of one image, with `rows` values per row."""
    return [[[[7]] * count for count in rows]]


# 1 to 7


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "request body is empty"),
        (b"hello", "invalid JSON at byte 0"),
        (b" ", "invalid JSON at byte"),
        (b"{} {}", "invalid JSON at byte 3"),
        (b"[1]", OBJECT + "a list of 1"),
        (b"7", OBJECT + "7"),
        (b'"x"', OBJECT + "'x'"),
        (b"null", OBJECT + "null"),
        (b'{"id": "\xff"}', "invalid JSON at byte"),
        (b"\xff\xfe{\0}\0", "invalid JSON at byte"),
        (b'{"id": "\\ud800"}', "invalid JSON at byte"),
        (b"[" * 250_000, DEEP),
        (b'{"inputs":' * 250_000, DEEP),
        (b"[" * 250_000 + b"]" * 250_000, DEEP),
        (b"{}", INPUTS + "none"),
        (b'{"inputs": []}', INPUTS + "a list of 0"),
        (b'{"inputs": null}', INPUTS + "null"),
        (b'{"inputs": {}}', INPUTS + "an object"),
        (b'{"inputs": [5]}', "inputs: expected a list of objects, found 5 in it"),
        (b'{"inputs": [{}]}', "inputs: expected a string as name, found null"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_rejects_a_malformed_body(body: bytes, message: str, server: Server):
    assert refusal(ask(server, body)).startswith(message)


def test_uses_the_last_of_repeated_keys(server: Server):
    inputs = json.dumps([image()]).encode()
    assert ask(server, b'{"inputs": 5, "inputs": ' + inputs + b"}").status == 200
    assert refusal(ask(server, b'{"inputs": ' + inputs + b', "inputs": 5}')) == INPUTS + "5"


# 8 to 24: good requests with one fault each

FAULTS: list[tuple[int, dict[str, Any], str]] = [
    (10, good(inputs=[image(datatype=...)]), WANTED + "the datatype null"),
    (11, good(inputs=[image(shape=...)]), "input 'image': expected a list as shape, found null"),
    (12, good(inputs=[image(shape=[1.0, 32, 32, 1])]), WANTED + "UINT8 [1.0,32,32,1]"),
    (12, good(inputs=[image(shape=["1", 32, 32, 1])]), WANTED + "UINT8 ['1',32,32,1]"),
    (12, good(inputs=[image(shape=[True, 32, 32, 1])]), WANTED + "UINT8 [true,32,32,1]"),
    (12, good(inputs=[image(shape=[None, 32, 32, 1])]), WANTED + "UINT8 [null,32,32,1]"),
    (13, good(inputs=[image(shape=[2**63, 32, 32, 1])]), LISTS + "a batch of at most 32, found 9223372036854775808"),
    (13, good(inputs=[image(shape=[2**70, 32, 32, 1])]), WANTED + "UINT8 [1.1805916207174113e+21,32,32,1]"),
    (14, good(inputs=[image(shape=[32, 32, 32, 1])]), LISTS + "32768 elements for its shape, found 1024"),
    (15, good(inputs=[image(data=PIXELS[1:])]), LISTS + "1024 elements for its shape, found 1023"),
    (15, good(inputs=[image(data=[*PIXELS, 7])]), LISTS + "1024 elements for its shape, found 1025"),
    (15, good(inputs=[image(data=[])]), LISTS + "1024 elements for its shape, found 0"),
    (15, good(inputs=[image(data=None)]), LISTS + "a list as data, found null"),
    (16, good(inputs=[image(data=nested([31, 33] * 16))]), LISTS + "32 elements along axis 2, found 31"),
    (16, good(inputs=[image(data=nested([32] * 31))]), LISTS + "32 elements along axis 1, found 31"),
    (17, good(inputs=[image(data=pixels("7"))]), NUMBERS + "'7'"),
    (17, good(inputs=[image(data=pixels(None))]), NUMBERS + "null"),
    (17, good(inputs=[image(data=pixels({}))]), NUMBERS + "an object"),
    (17, good(inputs=[image(data=pixels([7]))]), NUMBERS + "a list of 1"),
    (17, good(inputs=[image(data=pixels(True))]), NUMBERS + "true"),
    (18, good(inputs=[image(data=pixels(float("nan")))]), "invalid JSON at byte"),
    (18, good(inputs=[image(data=pixels(float("-inf")))]), "invalid JSON at byte"),
    (19, good(inputs=[image(data=pixels(300))]), "input 'image': 300 is out of range for UINT8"),
    (19, good(inputs=[image(data=pixels(-1))]), "input 'image': -1 is out of range for UINT8"),
    (19, good(inputs=[image(data=pixels(1.5))]), NUMBERS + "1.5"),
    (19, good(inputs=[image(data=pixels(2**70))]), NUMBERS + "1.1805916207174113e+21"),
    (20, good(inputs=[image(datatype="FP16")]), WANTED + "FP16 [1,32,32,1]"),
    (20, good(inputs=[image(datatype="BF16")]), WANTED + "BF16 [1,32,32,1]"),
    (21, good(outputs=[{"name": "z"}]), "unexpected output 'z'; model returns 'logits'"),
    (21, good(outputs={}), "outputs: expected a list, found an object"),
    (22, good(id=5), "id: expected a string, found 5"),
    (22, good(id=None), "id: expected a string, found null"),
    (22, good(id="x" * 1_000_000), "id: expected at most 256 characters, found 1000000"),
    (23, good(parameters=5), "request: expected an object as parameters, found 5"),
    (23, good(parameters={"binary_data_output": 1}), "request: expected true or false as binary_data_output, found 1"),
    (23, good(inputs=[image(parameters=[])]), "input: expected an object as parameters, found a list of 0"),
]


@pytest.mark.parametrize(
    ("request_", "message"), [fault[1:] for fault in FAULTS], ids=[f"row {row}" for row, *_ in FAULTS]
)
def test_names_the_fault_of_a_json_request(request_: dict[str, Any], message: str, server: Server):
    assert refusal(ask(server, request_)).startswith(message)


def test_rejects_numbers_beyond_a_double(server: Server):
    body = json.dumps(good()).encode().replace(b"[7,", b"[1e400,", 1)
    assert refusal(ask(server, body)).startswith("invalid JSON at byte")


@pytest.mark.parametrize("given", ["", "7", 'a"b', "a\r\nX-Injected: 1", "\u2028\0é"])
def test_returns_the_id_only_in_the_json(given: str, server: Server):
    reply = ask(server, good(id=given))
    assert (reply.status, reply.json["id"]) == (200, given)
    assert b"\r\n" not in reply.body
    assert "x-injected" not in reply.headers
    assert reply.headers["x-request-id"] != given


@pytest.mark.parametrize(("classes", "given"), [(0, None), (1, 1), (10, 10), (11, 10), (1_000_000_000, 10)])
def test_limits_classes_to_those_of_the_model(classes: int, given: int | None, server: Server):
    reply = ask(server, good(outputs=[{"name": "logits", "parameters": {"classification": classes}}]))
    assert reply.status == 200
    (output,) = reply.json["outputs"]
    expected = ("FP32", [1, 10]) if given is None else ("BYTES", [1, given])
    assert (output["datatype"], output["shape"]) == expected


@pytest.mark.parametrize("classes", [-1, "x", 1.0, None, True, 2**70])
def test_rejects_an_invalid_number_of_classes(classes: Any, server: Server):
    request = good(outputs=[{"name": "logits", "parameters": {"classification": classes}}])
    assert "integer of at least 0 as classification, found" in refusal(ask(server, request))


# 25


@pytest.fixture(scope="module")
def dark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a model that returns NaN for a completely white image."""
    from repository import COMMITTED

    bundle = tmp_path_factory.mktemp("dark") / COMMITTED.name
    bundle.mkdir()
    for file in COMMITTED.iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())
    model = onnx.load_from_string((bundle / "model.onnx").read_bytes())
    for node in model.graph.node:
        node.output[:] = ["finite" if name == "logits" else name for name in node.output]
    model.graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), "white"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "pixels"))
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["image"], ["as_float"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Flatten", ["as_float"], ["flat"]),
            helper.make_node("ReduceMin", ["flat", "pixels"], ["darkest"]),
            helper.make_node("Sub", ["white", "darkest"], ["light"]),
            helper.make_node("Div", ["light", "light"], ["one"]),  # 0 / 0 for a white image
            helper.make_node("Mul", ["finite", "one"], ["logits"]),
        ]
    )
    with serving(bundles=[reseal(bundle, model.SerializeToString())]) as server:
        yield server


def test_sends_nan_only_in_binary(dark: Server):
    white = np.full((2, 32, 32, 1), 255, np.uint8)
    white[1] = 7
    request = good(inputs=[raw_image(white.nbytes, shape=list(white.shape))])
    text = refusal(ask(dark, request, white.tobytes()))
    assert text == "output 'logits' contains NaN or infinity, which JSON cannot represent: request binary data"
    found = dark.logits(white)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()
    dark.unharmed()


def test_classifies_nan_as_valid_json(dark: Server):
    white = np.full((1, 32, 32, 1), 255, np.uint8)
    request = good(inputs=[raw_image(white.nbytes)], outputs=[{"name": "logits", "parameters": {"classification": 1}}])
    reply = ask(dark, request, white.tobytes())
    assert reply.status == 200
    assert reply.json["outputs"][0]["data"] == ["nan:0:0"]
    dark.unharmed()
