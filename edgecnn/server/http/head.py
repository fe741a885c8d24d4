"""Checks a request's line and headers, which llhttp has parsed.

The end of a body must be certain: if a proxy in front and this server see two different ends, the rest of one client's
body becomes another client's request.
"""

import re
from functools import lru_cache

from edgecnn.server.http.message import Head

CHUNKED = -1
"""The length of a chunked body, which ends with an empty chunk."""

_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
"""RFC 3986, section 3.2.2, without the formats of IP addresses that nobody has defined yet."""
_MOST_DIGITS = 18


class Malformed(Exception):
    """Bytes that are not a request. The text may be sent to the client: it contains nothing that the client sent."""


def read_head(method: str, target: str, headers: dict[str, str], *, version: str) -> Head:
    """Return a request without its body; the target is a path, or an address, which replaces `host`.

    The precedence of the address is that of RFC 9112, section 3.2.2. Names of headers are in lower case.

    Raises:
        Malformed: it is not a request of HTTP/1.
    """
    if version not in {"1.1", "1.0"}:
        raise Malformed("expected HTTP/1.1")
    host = headers.get("host")
    if host is None:
        if version == "1.1":
            raise Malformed("the Host header is missing")
    elif not _is_host(host):
        raise Malformed("the Host header is not one host")
    if target[0] != "/":
        target = _path_of_address(target, headers)
    path, _, query = target.partition("?")
    return Head(method, path, query, headers)


def body_length(headers: dict[str, str], *, version: str) -> int:
    """Return how many bytes follow the headers, or `CHUNKED`.

    Raises:
        Malformed: the headers give no length, or two.
    """
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise Malformed("expected Content-Length or Transfer-Encoding, found both")
        if coding.lower() != "chunked" or version == "1.0":
            raise Malformed("the only Transfer-Encoding is chunked, in HTTP/1.1")
        return CHUNKED
    if length is None:
        return 0
    # int() accepts signs, spaces, underscores and the digits of other scripts.
    if not (length.isascii() and length.isdigit()) or len(length) > _MOST_DIGITS:
        raise Malformed("Content-Length is not a number")
    return int(length)


@lru_cache(maxsize=256)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _path_of_address(target: str, headers: dict[str, str]) -> str:
    scheme, found, rest = target.partition("://")
    if not found or scheme.lower() not in {"http", "https"}:
        return target  # `*`, or what CONNECT names: no route is called so
    end = min(index for index in (rest.find("/"), rest.find("?"), len(rest)) if index >= 0)
    if not _is_host(rest[:end]):
        raise Malformed("the address is not that of one host")
    headers["host"] = rest[:end]
    path = rest[end:]
    return path if path.startswith("/") else "/" + path
