"""Checks requests of the repository extension, and protects control calls from web pages of other sites.

Any page can make a browser send requests, also to loopback. A page of another site is recognized by the `Origin`
header; a page that has redirected its own name to this machine (DNS rebinding) by the `Host` header. An address as host
cannot be rebound. Browsers do not send the headers of gRPC.
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
"""Parameters that clients send and that change nothing; all others would change what is loaded."""
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:/@?#]*)(?::[0-9]{1,5})?")


def check_control(head: Head, body: bytes, *, trusted_hosts: tuple[str, ...]) -> None:
    """Check a control call, whose body may hold parameters of Triton's repository extension.

    Besides the trusted hosts, names in lower case, `localhost` and every address are allowed.

    Raises:
        Refusal: "forbidden" if it comes from another site or has another host; "invalid" if its parameters would change
            what is loaded.
    """
    host = head.headers.get("host", "")
    if not _is_trusted(host, trusted_hosts):
        raise Refusal(
            "forbidden", f"host {quoted(host)} is not trusted with control calls: name it with --trusted-hosts"
        )
    origin = head.headers.get("origin")
    if origin is not None and origin.lower() not in {f"http://{host}".lower(), f"https://{host}".lower()}:
        raise Refusal("forbidden", f"control calls from the site {quoted(origin)} are refused")
    if head.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise Refusal("forbidden", "control calls from another site are refused")
    parameters = object_in(body).get("parameters", {})
    if not isinstance(parameters, dict):
        raise Refusal("invalid", "parameters: expected an object")
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
    """Return the JSON object in a body of the repository extension; empty if there is no body.

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
        raise Refusal("invalid", "expected a JSON object, or no body")
    return document


def check_parameters(names: Iterable[str]) -> None:
    """Check that parameters of a control call, given by name, do not change what is loaded; also used by gRPC.

    Raises:
        Refusal: one of them would.
    """
    if strange := sorted(set(names) - _HARMLESS):
        raise Refusal(
            "invalid", f"parameter {quoted(strange[0])}: what is loaded stands on the server and nowhere else"
        )
