"""Check requests of the repository extension, and protect control calls from web pages of other sites.

Any page can make a browser send requests, also to loopback. The `Origin` header identifies a page of another site. The
`Host` header identifies a page that redirected its own name to this machine (DNS rebinding); an IP address as host
cannot be rebound. Browsers cannot send gRPC headers.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

import orjson

from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.http.message import Head

_HARMLESS = frozenset({"unload_dependents"})
"""Parameters that clients send and that have no effect; any other could change the loaded bundle."""
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
        raise Refusal(
            "forbidden", f"control calls to the host {quoted(host)} are not allowed: add it to --trusted-hosts"
        )
    origin = head.headers.get("origin")
    if origin is not None and origin.lower() not in {f"http://{host}".lower(), f"https://{host}".lower()}:
        raise Refusal("forbidden", f"control calls from the site {quoted(origin)} are not allowed")
    if head.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise Refusal("forbidden", "control calls from another site are not allowed")
    parameters = object_in(body).get("parameters", {})
    if not isinstance(parameters, dict):
        raise Refusal("invalid", "parameters: expected a JSON object")
    check_parameters(parameters)


def _is_trusted(host: str, trusted_hosts: tuple[str, ...]) -> bool:
    found = _HOST.fullmatch(host)
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
