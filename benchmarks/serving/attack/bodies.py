"""Attacks on memory: large bodies, compressed bodies, JSON, unread answers, and image files."""

import json

from benchmarks.serving.attack.crowd import Client, Counts, Crowd
from benchmarks.serving.attack.inputs import FOLDER, ZEROS_GZIP
from benchmarks.serving.attack.target import Target, get, post

MIB = 1 << 20
DECLARED_BYTES, SENT_BYTES = 61 * MIB, 60 * MIB
_OPENED_PER_S = 50.0
"""Refused attackers come back at this rate; without a limit, their copying uses the cores of the server."""

_BINARY = "Content-Type: application/octet-stream\r\nInference-Header-Content-Length: 0\r\n"
_JSON = "Content-Type: application/json\r\n"
_NEAR_LIMIT_BYTES = 5 * MIB
"""Below the limit of JSON for every model: 5 MiB, and 16 bytes per pixel value of its largest batch."""

_MODEL_SIDE, _BATCH = 32, 32


def unfinished(target: Target, seconds: float, *, connections: int, chunked: bool = False) -> Counts:
    """Send 60 of 61 MiB on each connection, and wait."""
    head = f"{_BINARY}{target.key_header}"
    if chunked:
        chunk = f"{MIB:x}\r\n".encode() + bytes(MIB) + b"\r\n"
        first = post(target.infer_path, head, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        first += chunk * (SENT_BYTES // MIB)
    else:
        first = post(target.infer_path, head, bytes(SENT_BYTES), length=DECLARED_BYTES)
    return Crowd(target.port, Client(first), connections, opened_per_s=_OPENED_PER_S).run(seconds)


def compressed(target: Target, seconds: float, *, connections: int) -> Counts:
    """Send bodies that become 64 MiB when they are decompressed."""
    body = (FOLDER / ZEROS_GZIP).read_bytes()
    request = post(target.infer_path, f"{_BINARY}Content-Encoding: gzip\r\n", body)
    return Crowd(target.port, Client(b"", request), connections).run(seconds)


def documents(target: Target, seconds: float, *, connections: int) -> Counts:
    """Send JSON near its limit: many numbers, and many lists, which take most memory when they are parsed."""
    numbers = _document("0,", _NEAR_LIMIT_BYTES)
    lists = _document("[],", _NEAR_LIMIT_BYTES)
    requests = b"".join(post(target.infer_path, _JSON, body) for body in (numbers, lists))
    return Crowd(target.port, Client(b"", requests), connections).run(seconds)


def _document(element: str, size: int) -> bytes:
    shape = [_BATCH, _MODEL_SIDE, _MODEL_SIDE, 1]
    tensor = {"name": "image", "datatype": "UINT8", "shape": shape, "data": ["X"]}
    before, after = json.dumps({"inputs": [tensor]}).encode().split(b'"X"')
    last = element[:-1].encode()
    count = (size - len(before) - len(after) - len(last)) // len(element)
    return before + element.encode() * count + last + after


def unread(target: Target, seconds: float, *, connections: int) -> Counts:
    """Request large answers again and again, and never read them."""
    return Crowd(target.port, Client(b"", _large_answers(target.infer_path), reads=False), connections).run(seconds)


def _large_answers(infer_path: str) -> bytes:
    pixels = _BATCH * _MODEL_SIDE * _MODEL_SIDE
    tensor = {"name": "image", "datatype": "UINT8", "shape": [_BATCH, _MODEL_SIDE, _MODEL_SIDE, 1]}
    body = json.dumps({"inputs": [tensor | {"data": [0] * pixels}]}, separators=(",", ":")).encode()
    return post(infer_path, _JSON, body) + get("/openapi.json") + get("/metrics") * 4


def pictures(target: Target, seconds: float, *, file: str, connections: int) -> Counts:
    """Send the same image file again and again."""
    body = (FOLDER / file).read_bytes()
    client = Client(b"", post(target.infer_path, "Content-Type: image/jpeg\r\n", body))
    return Crowd(target.port, client, connections).run(seconds)
