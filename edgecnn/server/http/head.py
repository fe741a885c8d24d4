"""Check the request line and the headers that llhttp parsed.

The end of a body must be unambiguous (request smuggling): if a proxy and this server find different ends, a part of one
client's body becomes another client's request.
"""

import re
from functools import lru_cache

from edgecnn.server.http.message import Head

CHUNKED = -1
"""The length of a chunked body; an empty chunk ends it."""

_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
"""RFC 3986, section 3.2.2, without `IPvFuture`."""
_MOST_DIGITS = 18


class Malformed(Exception):
    """A malformed request. The message contains no input of the client, so it may be sent to the client."""


def read_head(method: str, target: str, headers: dict[str, str], *, version: str) -> Head:
    """Return a request without its body; header names are in lower case.

    The target is a path or a URL. The host of a URL replaces the `host` header (RFC 9112, section 3.2.2).

    Raises:
        Malformed: the HTTP version, the host or the URL is not valid.
    """
    if version not in {"1.1", "1.0"}:
        raise Malformed("expected HTTP/1.1")
    host = headers.get("host")
    if host is None:
        if version == "1.1":
            raise Malformed("expected a Host header, found none")
    elif not _is_host(host):
        raise Malformed("expected one host in the Host header")
    if target[0] != "/":
        target = _path_of_address(target, headers)
    path, _, query = target.partition("?")
    return Head(method, path, query, headers)


def body_length(headers: dict[str, str], *, version: str) -> int:
    """Return the length of the body in bytes, or `CHUNKED`.

    Raises:
        Malformed: the length is not valid, or there are two lengths.
    """
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise Malformed("expected Content-Length or Transfer-Encoding, found both")
        if coding.lower() != "chunked" or version == "1.0":
            raise Malformed("expected Transfer-Encoding: chunked in HTTP/1.1")
        return CHUNKED
    if length is None:
        return 0
    # int() accepts signs, spaces, underscores and the digits of other scripts.
    if not (length.isascii() and length.isdigit()) or len(length) > _MOST_DIGITS:
        raise Malformed("expected a number in Content-Length")
    return int(length)


@lru_cache(maxsize=256)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _path_of_address(target: str, headers: dict[str, str]) -> str:
    scheme, found, rest = target.partition("://")
    if not found or scheme.lower() not in {"http", "https"}:
        return target  # `*`, or the authority of CONNECT: it matches no route
    end = min(index for index in (rest.find("/"), rest.find("?"), len(rest)) if index >= 0)
    if not _is_host(rest[:end]):
        raise Malformed("expected one host in the request target")
    headers["host"] = rest[:end]
    path = rest[end:]
    return path if path.startswith("/") else "/" + path
