"""Requests to the committed bundle, and the check of a rejection."""

import io
import json
import struct
from typing import Any

from PIL import Image
from server_process import Reply, Server

SHAPE = [1, 32, 32, 1]
PIXELS = [7] * 1024
LENGTH = "Inference-Header-Content-Length"


def image(**changes: Any) -> dict[str, Any]:
    """Return a valid input with changes; a change to `...` removes the key."""
    entry = {"name": "image", "datatype": "UINT8", "shape": SHAPE, "data": PIXELS} | changes
    return {key: value for key, value in entry.items() if value is not ...}


def raw_image(size: Any = 1024, **changes: Any) -> dict[str, Any]:
    """Return a valid input whose pixels follow the JSON, with changes."""
    return image(data=..., parameters={"binary_data_size": size}, **changes)


def good(**changes: Any) -> dict[str, Any]:
    """Return a valid request with changes."""
    return {"inputs": [image()]} | changes


def elements(*each: bytes) -> bytes:
    """Encode the elements of a BYTES tensor in binary."""
    return b"".join(struct.pack("<I", len(one)) + one for one in each)


def ask(server: Server, document: Any, *raw: bytes, length: object = None) -> Reply:
    """Send JSON, or bytes unchanged, followed by raw tensors."""
    header = document if isinstance(document, bytes) else json.dumps(document).encode()
    sent = (str(len(header)) if raw else None) if length is None else str(length)
    return server.post(b"".join([header, *raw]), None if sent is None else {LENGTH: sent})


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    """Encode a picture as a file."""
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def refusal(reply: Reply, status: int = 400) -> str:
    """Check a rejection: the status, and one short line in the protocol's form. Return its text."""
    assert reply.status == status, reply.body[:300]
    assert reply.headers["x-request-id"]
    text = reply.error
    assert text.isprintable()
    assert len(text) < 400
    return text
