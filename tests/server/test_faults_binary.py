"""Faults in the framing of binary requests (rows 31 to 41 of the table of faults), over a real socket."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from asking import LENGTH, PIXELS, ask, elements, good, image, raw_image, refusal
from server_process import Reply, Server

RAW = bytes(PIXELS)
GOOD = json.dumps(good(inputs=[raw_image()])).encode()
OUT_OF_RANGE = f"inference header size should be in range (0, {len(GOOD) + len(RAW)}), got: "
NO_NUMBER = f"{LENGTH}: expected decimal digits, found "
NO_SIZE = "input: expected an integer of at least 0 as binary_data_size, found "


@pytest.fixture(autouse=True)
def _neighbour(server: Server) -> Iterator[None]:
    with server.good_neighbour():
        yield


def files(size: Any, *shape: int) -> dict[str, Any]:
    return good(inputs=[raw_image(size, datatype="BYTES", shape=list(shape))])


# 31, 32


@pytest.mark.parametrize("text", ["abc", "", "-5", "+3", "1e3", "0x10", "1_0", "7 7", "\xb2", "\x00", "7;q=1"])
def test_rejects_a_malformed_header_length(text: str, server: Server):
    head = f"POST {server.infer_path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"{LENGTH}: {text}\r\nContent-Length: {len(GOOD) + len(RAW)}\r\n\r\n"
    reply = server.raw(head.encode("latin-1") + GOOD + RAW)
    assert reply.startswith(b"HTTP/1.1 400 ")
    error = json.loads(reply.partition(b"\r\n\r\n")[2])["error"]
    assert error.startswith(NO_NUMBER) or (text == "\x00" and error == "not an HTTP request")


@pytest.mark.parametrize("second", [len(GOOD), 4], ids=["alike", "unlike"])
def test_rejects_a_repeated_header_length(second: int, server: Server):
    lengths = "".join(f"{LENGTH}: {length}\r\n" for length in (len(GOOD), second))
    head = f"POST {server.infer_path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lengths}"
    reply = server.raw(f"{head}Content-Length: {len(GOOD) + len(RAW)}\r\n\r\n".encode() + GOOD + RAW)
    assert f"{NO_NUMBER}'{len(GOOD)}, {second}'".encode() in reply


def test_accepts_spaces_around_the_header_length(server: Server):
    reply = server.post(GOOD + RAW, {LENGTH: f"  {len(GOOD)}\t "})
    assert reply.status == 200


@pytest.mark.parametrize(
    "length", [len(GOOD + RAW) + 1, 2**31 + 1, 2**32, 2**63, 2**64 + 1, "9" * 5000], ids=lambda length: str(length)[:20]
)
def test_rejects_a_header_length_beyond_the_body(length: object, server: Server):
    assert refusal(ask(server, GOOD, RAW, length=length)).startswith(OUT_OF_RANGE)


# 33


def test_rejects_a_header_length_inside_the_json(server: Server):
    for length in range(1, len(GOOD), 7):
        assert refusal(ask(server, GOOD, RAW, length=length)).startswith("invalid JSON at byte")


def test_rejects_a_header_length_inside_a_character(server: Server):
    text = json.dumps({"id": "é", **good(inputs=[raw_image()])}, ensure_ascii=False).encode()
    inside = text.index("é".encode()) + 1
    assert refusal(ask(server, text, RAW, length=inside)).startswith("invalid JSON at byte")


def test_rejects_a_header_length_inside_the_pixels(server: Server):
    assert refusal(ask(server, GOOD, RAW, length=len(GOOD) + 1)).startswith("invalid JSON at byte")


# 34


def test_accepts_a_raw_request(server: Server):
    reply = ask(server, server.images[0].tobytes(), length=0)
    assert reply.status == 200
    answer = reply.body[int(reply.headers[LENGTH.lower()]) :]
    assert np.array_equal(np.frombuffer(answer, "<f4")[None], server.logits(server.images[:1]))


@pytest.mark.parametrize("size", [1, 1023, 1025, 2048, 1 << 20])
def test_rejects_a_raw_request_of_another_size(size: int, server: Server):
    expected = f"input 'image': expected 1024 bytes for its shape, found {size}"
    assert refusal(ask(server, bytes(size), length=0)) == expected


def test_rejects_an_empty_raw_request(server: Server):
    assert refusal(ask(server, b"", length=0)) == "request body is empty"


# 35, 36, 37


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (-1, NO_SIZE + "-1"),
        (1024.0, NO_SIZE + "1024.0"),
        ("1024", NO_SIZE + "'1024'"),
        (True, NO_SIZE + "true"),
        (None, NO_SIZE + "null"),
        (2**70, NO_SIZE + "1.1805916207174113e+21"),
        (1025, "input 'image': expected at most 1024 bytes as binary_data_size, found 1025"),
        (2**63, "input 'image': expected at most 1024 bytes as binary_data_size, found 9223372036854775808"),
        (2**64 - 1, "input 'image': expected at most 1024 bytes as binary_data_size, found 18446744073709551615"),
    ],
)
def test_rejects_a_wrong_binary_data_size(size: Any, message: str, server: Server):
    assert refusal(ask(server, good(inputs=[raw_image(size)]), RAW)) == message


def test_rejects_a_repeated_input_with_a_huge_size(server: Server):
    request = good(inputs=[raw_image(), raw_image(2**64 - 1024)])
    assert refusal(ask(server, request, RAW)) == "input 'image' is given twice"


@pytest.mark.parametrize("shape", [[4_000_000_000, 32, 32, 1], [2**62, 32, 32, 1], [2**64, 32, 32, 1]])
def test_rejects_a_shape_far_beyond_its_bytes(shape: list[int], server: Server):
    text = refusal(ask(server, good(inputs=[raw_image(shape=shape)]), RAW))
    assert text.startswith(("input 'image': expected a batch of at most 32", "input 'image': expected UINT8"))


@pytest.mark.parametrize("entry", [raw_image(), image()], ids=["raw", "json"])
@pytest.mark.parametrize("more", [1, 1024])
def test_rejects_bytes_after_the_last_tensor(more: int, entry: dict[str, Any], server: Server):
    raw = RAW if "parameters" in entry else b""
    expected = f"unexpected {more} additional bytes after the last input"
    assert refusal(ask(server, good(inputs=[entry]), raw, bytes(more))) == expected


def test_requires_exactly_one_source_of_data(server: Server):
    both = raw_image() | {"data": PIXELS}
    text = "input 'image': expected data or binary_data_size, found "
    assert refusal(ask(server, good(inputs=[both]), RAW)) == text + "both"
    assert refusal(ask(server, good(inputs=[image(data=...)]), RAW)) == text + "neither"
    assert refusal(ask(server, good(inputs=[image(data=..., parameters={})]))) == text + "neither"


# 40


@pytest.mark.parametrize("padding", range(8))
def test_accepts_pixels_at_any_alignment(padding: int, server: Server):
    images = server.images[:2]
    header = json.dumps(good(inputs=[raw_image(images.nbytes, shape=list(images.shape))])).encode() + b" " * padding
    reply = ask(server, header, images.tobytes())
    assert logits(reply).tolist() == server.logits(images).tolist()


# 41


@pytest.mark.parametrize("field", ["inputs", "outputs"])
@pytest.mark.parametrize("alike", [True, False], ids=["alike", "unlike"])
def test_rejects_65_537_entries_at_the_first_bad_one(alike: bool, field: str, server: Server):
    name = "image" if field == "inputs" else "logits"
    many = [raw_image() if field == "inputs" else {"name": name}]
    many += [{"name": name if alike else f"x{index}"} for index in range(65_536)]
    text = refusal(ask(server, {"inputs": [raw_image()], field: many}, RAW))
    kind = field[:-1]
    assert text.startswith(f"{kind} '{name}' is " if alike else f"unexpected {kind} 'x0'; model ")


def logits(reply: Reply) -> np.ndarray:
    assert reply.status == 200, reply.body
    (output,) = reply.json["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def test_counts_rejected_requests_by_reason(server: Server):
    def failed() -> dict[str, float]:
        return {
            sample.labels["reason"]: sample.value
            for sample in server.samples()
            if sample.name == "edgecnn_requests_failed_total"
        }

    before = failed()
    ask(server, GOOD, RAW, length="abc")
    ask(server, GOOD, RAW + RAW)
    ask(server, files(10, 1), elements(b"GIF89a"))
    after = failed()
    grown = {reason: after[reason] - before[reason] for reason in after if after[reason] != before[reason]}
    assert grown == {"invalid": 2, "unsupported": 1}
    assert {sample.labels["model"] for sample in server.samples() if "model" in sample.labels} == {server.name}
