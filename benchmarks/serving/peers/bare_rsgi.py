"""The same as `bare_asgi.py` for granian's own interface, whose front end is written in Rust."""

from typing import Any

from onnx_model import Model

_model = Model()
_HEADERS = [("content-type", "application/octet-stream")]


async def app(scope: Any, protocol: Any) -> None:
    """Answer any path."""
    body = await protocol()
    protocol.response_bytes(200, _HEADERS, _model.logits(_model.pixels(body)).tobytes() if body else b"")
