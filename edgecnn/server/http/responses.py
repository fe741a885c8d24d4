"""The bytes of responses: status line, headers, and error responses of the connection itself."""

import json
from email.utils import formatdate
from http import HTTPStatus

from edgecnn.server.http.message import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BODILESS = frozenset({204, 304})
_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}
_STATUS_LINES |= {413: "HTTP/1.1 413 Content Too Large\r\n"}


def date_line() -> str:
    """Return the Date header line of the current second."""
    return f"Date: {formatdate(usegmt=True)}\r\n"


def error_response(status: int, message: str) -> Response:
    """Return the response to a malformed request, or to one that does not fit in memory."""
    headers = (("Content-Type", "application/json"), *((("Retry-After", "1"),) if status == 503 else ()))
    return Response(status, json.dumps({"error": message}).encode(), headers)


def head_bytes(response: Response, *, date: str, connection: str) -> bytes:
    """Return the status line and the headers in Latin-1, with line breaks in values replaced by spaces."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in response.headers])
    if lines.count("\n") != len(response.headers) or lines.count("\r") != len(response.headers):
        # A line break in a value would start another header or response.
        lines = "".join([f"{_one_line(name)}: {_one_line(value)}\r\n" for name, value in response.headers])
    length = "" if response.status in BODILESS else f"Content-Length: {len(response.body)}\r\n"
    first = _STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} \r\n"
    return f"{first}{date}{length}{connection}{lines}\r\n".encode("latin-1", "replace")


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
