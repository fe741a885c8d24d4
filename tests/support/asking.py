"""Requests to the committed bundle, good but for one thing, and how a refusal of them has to look."""

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
    """A good input, but for the changes; what is changed to `...` is left out."""
    entry = {"name": "image", "datatype": "UINT8", "shape": SHAPE, "data": PIXELS} | changes
    return {key: value for key, value in entry.items() if value is not ...}


def raw_image(size: Any = 1024, **changes: Any) -> dict[str, Any]:
    """A good input whose pixels stand behind the JSON, but for the changes."""
    return image(data=..., parameters={"binary_data_size": size}, **changes)


def good(**changes: Any) -> dict[str, Any]:
    """A good request, but for the changes."""
    return {"inputs": [image()]} | changes


def elements(*each: bytes) -> bytes:
    """Elements of a BYTES tensor as they travel raw."""
    return b"".join(struct.pack("<I", len(one)) + one for one in each)


def ask(server: Server, document: Any, *raw: bytes, length: object = None) -> Reply:
    """Send JSON, or bytes as they are, with raw tensors behind."""
    header = document if isinstance(document, bytes) else json.dumps(document).encode()
    sent = (str(len(header)) if raw else None) if length is None else str(length)
    return server.post(b"".join([header, *raw]), None if sent is None else {LENGTH: sent})


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def refusal(reply: Reply, status: int = 400) -> str:
    """The text of a refusal with that status: one short line of the protocol's form."""
    assert reply.status == status, reply.body[:300]
    assert reply.headers["x-request-id"]
    text = reply.error
    assert text.isprintable()
    assert len(text) < 400
    return text
