"""The memory of requests to a running server: refusals, and release when they end or their clients leave."""

import gzip
import io
import json
import re
import struct
import time
from collections.abc import Iterator

import pytest
from image_files import encoded
from PIL import Image
from server_messages import wait_for
from server_process import Server, serving

PNG = {"Content-Type": "image/png"}
LARGE = encoded(Image.new("P", (5000, 5000), 1), "PNG")


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """Serve with a small budget."""
    with serving("--memory-budget", "100M", "--max-request-pixels", 400_000_000) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    wait_for(lambda: value(running, "memory_held_bytes") == 0)
    running.unharmed()


def value(server: Server, name: str) -> float:
    return next(sample.value for sample in server.samples() if sample.name == f"edgecnn_{name}")


def several(file: bytes, count: int, **parameters: object) -> tuple[bytes, dict[str, str]]:
    """Return a request with one image file several times, and its headers."""
    element = struct.pack("<I", len(file)) + file
    given = {"name": "image", "datatype": "BYTES", "shape": [count]}
    given["parameters"] = {"binary_data_size": count * len(element)}
    head = json.dumps({"inputs": [given], "parameters": parameters}).encode()
    return head + element * count, {"Inference-Header-Content-Length": str(len(head))}


def test_refuses_a_body_that_inflates_beyond_the_budget(server: Server):
    reply = server.post(gzip.compress(bytes(63 << 20)), {"Content-Encoding": "gzip"})
    assert reply.status == 413
    assert "of memory, and one request may use 88 MiB" in reply.error


@pytest.mark.parametrize(
    ("unit", "count", "what"),
    [("0", 340_000, "elements"), ("[[]]", 190_000, "lists"), ('{"a":1}', 700_000, "elements")],
)
def test_refuses_json_of_more_elements_than_a_batch(unit: str, count: int, what: str, server: Server):
    reply = server.post(f'{{"inputs":[{",".join([unit] * count)}]}}'.encode())
    assert reply.status == 413
    assert re.fullmatch(rf"expected at most \d+ {what} in JSON, found \d+: send binary data", reply.error)


def test_refuses_an_image_by_its_header(server: Server):
    file = encoded(Image.new("CMYK", (4000, 2500)), "JPEG", progressive=True)
    reply = server.post(file, {"Content-Type": "image/jpeg"})
    assert reply.status == 413
    assert re.search(r"needs 11\d MiB of memory, and one request may use 88 MiB", reply.error)
    assert value(server, "memory_refused_total") >= 1


def test_names_the_option_for_the_pixels_of_a_request(server: Server):
    with Image.open(io.BytesIO(LARGE)) as picture:
        assert 17 * picture.width * picture.height > 400_000_000
    body, headers = several(LARGE, 17)
    reply = server.post(body, headers)
    assert (reply.status, "--max-request-pixels" in reply.error) == (413, True)


@pytest.mark.slow
def test_stops_after_the_current_image(server: Server):
    begun = time.monotonic()
    assert server.post(LARGE, PNG).status == 200
    one_s = time.monotonic() - begun
    body, headers = several(LARGE, 16)
    head = f"POST {server.infer_path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {text}\r\n" for name, text in headers.items())
    with server.connect() as client:
        client.sendall(head.encode() + b"\r\n" + body)
        wait_for(lambda: value(server, "memory_held_bytes") > 20e6)
    begun = time.monotonic()
    wait_for(lambda: value(server, "memory_held_bytes") == 0)
    assert time.monotonic() - begun < 8 * one_s + 1
    wait_for(lambda: server.metrics()["cancelled"] == 1)
    late, headers = several(LARGE, 16, timeout=1)
    reply = server.post(late, headers)
    assert (reply.status, "expired before its images were decoded" in reply.error) == (504, True)
