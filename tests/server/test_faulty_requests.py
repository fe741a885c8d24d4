"""Requests with one fault, over HTTP and gRPC. Both name the fault, and the metrics count it.

The number before a fault is its row in the project's table of faults.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from grpc_messages import elements
from infer_requests import Request, Tensor
from server_process import Server
from transports import Transport

PIXELS = np.full((1, 32, 32, 1), 7, np.uint8)
GOOD = Tensor(PIXELS)
WANTED = "input 'image': expected UINT8 [-1,32,32,1] or BYTES [-1], found "
BATCH = "input 'image': expected a batch of at most 32, found "


@pytest.fixture(autouse=True)
def _neighbour(server: Server) -> Iterator[None]:
    with server.good_neighbour():
        yield


def with_input(**changes: Any) -> Request:
    return Request([Tensor(**{"data": PIXELS} | changes)])


def with_files(raw: bytes, *shape: int) -> Request:
    return with_input(datatype="BYTES", shape=shape, raw=raw)


def with_timeout(timeout: Any) -> Request:
    return Request([GOOD], parameters={"timeout": timeout})


FAULTS: list[tuple[int, Request, str]] = [
    (7, Request([]), "inputs: expected a list of at least one, found a list of 0"),
    (8, with_input(name="z"), "unexpected input 'z'; model expects 'image'"),
    (9, Request([GOOD, GOOD]), "input 'image' is given twice"),
    (9, Request([GOOD, Tensor(PIXELS, name="other")]), "unexpected input 'other'; model expects 'image'"),
    (10, with_input(datatype="FLOAT"), WANTED + "the datatype 'FLOAT'"),
    (10, with_input(datatype="uint8"), WANTED + "the datatype 'uint8'"),
    (10, with_input(datatype="INT32"), WANTED + "INT32 [1,32,32,1]"),
    (39, with_input(datatype="BOOL"), WANTED + "BOOL [1,32,32,1]"),
    (11, with_input(shape=[1, 1024]), WANTED + "UINT8 [1,1024]"),
    (11, with_input(shape=[1, 1, 32, 32]), WANTED + "UINT8 [1,1,32,32]"),
    (11, with_input(shape=[1, 32, 33, 1]), WANTED + "UINT8 [1,32,33,1]"),
    (11, with_input(shape=[]), WANTED + "UINT8 []"),
    (12, with_input(shape=[-1, 32, 32, 1]), WANTED + "UINT8 [-1,32,32,1]"),
    (12, with_input(shape=[0, 32, 32, 1]), WANTED + "UINT8 [0,32,32,1]"),
    (13, with_input(shape=[16, 1152921504606846978]), WANTED + "UINT8 [16,1152921504606846978]"),
    (13, with_input(shape=[2**63 - 1, 32, 32, 1]), BATCH + "9223372036854775807"),
    (14, with_input(shape=[33, 32, 32, 1]), BATCH + "33"),
    (14, with_input(shape=[32, 32, 32, 1]), "input 'image': expected 32768 bytes for its shape, found 1024"),
    (37, with_input(raw=bytes(1023)), "input 'image': expected 1024 bytes for its shape, found 1023"),
    (37, with_input(raw=b""), "input 'image': expected 1024 bytes for its shape, found 0"),
    (38, with_files(b"\xff\xff\xff\xff", 1), "input 'image': element 0 has 4294967295 bytes, found 0"),
    (38, with_files(b"\x09\0\0\0abc", 1), "input 'image': element 0 has 9 bytes, found 3"),
    (38, with_files(b"\x01\0\0", 1), "input 'image': expected 1 length-prefixed elements, found 3 bytes"),
    (38, with_files(elements(b"a") + b"\0", 1), "input 'image': unexpected 1 additional bytes after its 1 elements"),
    (38, with_files(elements(b"a", b"b"), 1), "input 'image': unexpected 5 additional bytes after its 1 elements"),
    (38, with_files(elements(b"abcdef") + b"\0", 2), "input 'image': element 1 has no length"),
    (38, with_files(b"", 0), WANTED + "BYTES [0]"),
    (38, with_files(bytes(8), 2**40), BATCH),
    (38, with_files(bytes(8), 1, 1), WANTED + "BYTES [1,1]"),
    (38, with_files(elements(b""), 1), "expected a JPEG, PNG or BMP image, found an empty file"),
    (59, with_files(elements(b"<html>"), 1), "cannot decode: the image is not a JPEG, PNG or BMP image"),
    (21, Request([GOOD], [("other", {})]), "unexpected output 'other'; model returns 'logits'"),
    (21, Request([GOOD], [("logits", {})] * 2), "output 'logits' is requested twice"),
    (22, Request([GOOD], id="x" * 257), "id: expected at most 256 characters, found 257"),
    (23, with_timeout("x"), "request: expected an integer of at least 0 as timeout, found 'x'"),
    (23, with_timeout(-1), "request: expected an integer of at least 0 as timeout, found -1"),
    (23, with_timeout(1.5), "request: expected an integer of at least 0 as timeout, found 1.5"),
]


@pytest.mark.parametrize(("_row", "request_", "message"), FAULTS, ids=[f"row {row}" for row, *_ in FAULTS])
def test_names_the_fault_of_a_request(_row: int, request_: Request, message: str, server: Server, transport: Transport):
    before = server.metrics()["failed"]
    with transport(server) as client:
        refused = client.send(request_)
    assert refused.kind == "invalid"
    assert refused.message.startswith(message)
    assert refused.message.isprintable()
    assert len(refused.message) < 400
    assert server.metrics()["failed"] == before + 1


def test_shows_client_text_short_and_escaped(server: Server, transport: Transport):
    name = "\r\nSet-Cookie: a=b\x1b[31m\u202e<b>" + "x" * 60_000
    with transport(server) as client:
        refused = client.send(with_input(name=name))
    assert refused.message.startswith("unexpected input '\\r\\nSet-Cookie: a=b\\x1b[31m\\u202e<b>")
    assert len(refused.message) < 400
