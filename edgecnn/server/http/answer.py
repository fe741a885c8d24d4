"""From an answer to the bytes of it."""

import json
from email.utils import formatdate
from http import HTTPStatus

from edgecnn.server.http.message import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}
_LINES |= {413: "HTTP/1.1 413 Content Too Large\r\n"}
_BODILESS = {204, 304}


def date_line() -> str:
    """Return the Date header of this second."""
    return f"Date: {formatdate(usegmt=True)}\r\n"


def error_response(status: int, message: str) -> Response:
    """Return the answer to something that was not a request, or that there was no room for."""
    headers = (("Content-Type", "application/json"), *((("Retry-After", "1"),) if status == 503 else ()))
    return Response(status, json.dumps({"error": message}).encode(), headers)


def head_bytes(response: Response, *, date: str, connection: str) -> bytes:
    """Return everything of an answer but its body.

    Args:
        response: the answer. Header values are latin-1; a line break in one becomes a space.
        date: the line, with its end.
        connection: the Connection header's line, with its end; or nothing.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in response.headers])
    if lines.count("\n") != len(response.headers) or lines.count("\r") != len(response.headers):
        # Somebody's text has come into a header; it must not become a header, or an answer, of its own.
        lines = "".join([f"{_one_line(name)}: {_one_line(value)}\r\n" for name, value in response.headers])
    length = "" if response.status in _BODILESS else f"Content-Length: {len(response.body)}\r\n"
    first = _LINES.get(response.status) or f"HTTP/1.1 {response.status} \r\n"
    return f"{first}{date}{length}{connection}{lines}\r\n".encode("latin-1", "replace")


def has_body(status: int, method: str) -> bool:
    """Tell whether the body of an answer is sent."""
    return method != "HEAD" and status not in _BODILESS


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
