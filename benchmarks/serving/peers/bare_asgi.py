"""The reference: a minimal handler around ONNX Runtime. A tensor's bytes in, the logits' bytes out."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from onnx_model import Model

Message = MutableMapping[str, Any]

_model = Model()


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer any path."""
    if scope["type"] != "http":
        raise RuntimeError("expected HTTP")  # the server takes this as "no lifespan"
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    content = _model.logits(_model.pixels(body)).tobytes() if body else b""
    headers = [(b"content-length", str(len(content)).encode()), (b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
