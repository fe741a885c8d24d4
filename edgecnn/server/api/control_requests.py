"""Check requests of the repository extension, and protect the server from web pages of other sites.

Any page can make a browser send requests, also to loopback. The `Origin` header identifies a page of another site. The
`Host` header identifies a page that redirected its own name to this machine (DNS rebinding); an IP address as host
cannot be rebound. Browsers cannot send gRPC headers.

Control calls are always checked. Other requests are checked if the server listens on loopback and has no API key. A
server on another address without a key is open to its network anyway, and with a key, a page would need the key.
"""

import functools
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any

import orjson

from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.http.message import Head

_OWN_SITES = frozenset({"none", "same-origin"})
"""Values of `Sec-Fetch-Site` of the server's own page, and of a user who enters an address."""
_HARMLESS = frozenset({"unload_dependents"})
"""Parameters that clients send and that have no effect; any other could change the loaded bundle."""
_LONGEST_HOST = 300
"""Maximum length of a host with its port in characters; a name has at most 253 (RFC 1035)."""
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:/@?#]*)(?::[0-9]{1,5})?")


def check_control(head: Head, body: bytes, *, trusted_hosts: tuple[str, ...]) -> None:
    """Check the host, the origin and the parameters of a control call.

    Allowed hosts are `trusted_hosts` (lower case), `localhost` and every IP address. The body may contain parameters of
    Triton's repository extension.

    Raises:
        Refusal: "forbidden" if the host or the origin is not allowed; "invalid" if a parameter would change which
            bundle is loaded.
    """
    host = head.headers.get("host", "")
    if not _is_trusted(host, trusted_hosts):
        raise _untrusted("control calls", host)
    origin = head.headers.get("origin")
    if origin is not None and origin.lower() not in {f"http://{host}".lower(), f"https://{host}".lower()}:
        raise Refusal("forbidden", f"control calls from the site {quoted(origin)} are not allowed")
    if head.headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        raise Refusal("forbidden", "control calls from another site are not allowed")
    parameters = object_in(body).get("parameters", {})
    if not isinstance(parameters, dict):
        raise Refusal("invalid", "parameters: expected a JSON object")
    check_parameters(parameters)


def check_page(head: Head, *, trusted_hosts: tuple[str, ...]) -> None:
    """Check that a request does not come from a web page of another site, by its host and `Sec-Fetch-Site`.

    A GET request without another host may come from a link on another site, whose page cannot read the response. A
    request without a `Host` header comes from no browser.

    Raises:
        Refusal: "forbidden" if the host or the site is not allowed.
    """
    host = head.headers.get("host", "")
    if host and not _is_trusted(host, trusted_hosts):
        raise _untrusted("requests", host)
    if head.method == "POST" and head.headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        raise Refusal("forbidden", "requests from another site are not allowed")


def is_loopback(sock: socket.socket) -> bool:
    """Return whether a TCP socket is bound to an address of loopback."""
    address = ipaddress.ip_address(sock.getsockname()[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _untrusted(what: str, host: str) -> Refusal:
    return Refusal("forbidden", f"{what} to the host {quoted(host)} are not allowed: add it to --trusted-hosts")


@functools.lru_cache(maxsize=64)
def _is_trusted(host: str, trusted_hosts: tuple[str, ...]) -> bool:
    found = _HOST.fullmatch(host) if len(host) <= _LONGEST_HOST else None
    if found is None:
        return False
    name = found[1].lower().removesuffix(".")
    if name == "localhost" or name in trusted_hosts:
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def object_in(body: bytes) -> dict[str, Any]:
    """Parse the JSON object in a body of the repository extension; return an empty one if the body is empty.

    Raises:
        Refusal: the body is not a JSON object.
    """
    if not body.strip():
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise Refusal("invalid", "expected a JSON object or an empty body")
    return document


def check_parameters(names: Iterable[str]) -> None:
    """Check that no parameter of a control call, given by name, changes which bundle is loaded; gRPC uses it too.

    Raises:
        Refusal: a parameter would change it.
    """
    if strange := sorted(set(names) - _HARMLESS):
        raise Refusal(
            "invalid", f"parameter {quoted(strange[0])} is not supported: the server loads its own bundles only"
        )
