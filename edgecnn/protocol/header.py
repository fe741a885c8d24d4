"""The JSON in front of a request: where it ends, that it is JSON, and that its parameters are of the right kind.

Of a key that stands twice in an object the last one counts, as RFC 8259, section 4, says most readers do.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from edgecnn.protocol.http_headers import HEADER_LENGTH
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import found, invalid, quoted

MAX_ID = 256
"""Characters of an id: it is kept, echoed and logged."""

MAX_JSON_BYTES = 16 << 20
"""Bytes of JSON, unless the server says otherwise: once read, `[],` takes 28 times as much memory."""

NO_PARAMETERS: Mapping[str, Any] = {}


def length_of(text: str, *, size: int) -> int:
    """Return the length of the JSON from `Inference-Header-Content-Length`; 0 is a request without JSON.

    Raises:
        Refusal: the text is not a number of at most `size`, the bytes of the body.
    """
    # int() takes signs, spaces, underscores and the digits of every script; none of them is a length in HTTP.
    if not (text.isascii() and text.isdecimal()):
        raise invalid(f"{HEADER_LENGTH}: expected decimal digits, found {quoted(text)}")
    # Twenty digits hold 64 bits; int() of a great many takes long.
    if len(text) > 20 or (length := int(text)) > size:
        raise invalid(f"inference header size should be in range (0, {size}), got: {quoted(text)[1:-1]}")
    return length


def load(header: bytes, *, max_bytes: int) -> dict[str, Any]:
    """Return the JSON object that a request begins with.

    Raises:
        Refusal: it is something else, or longer than `max_bytes`.
    """
    if len(header) > max_bytes:
        message = f"expected at most {max_bytes} bytes of JSON, found {len(header)}; send tensors as binary data"
        raise Refusal("too_large", message)
    try:
        request = orjson.loads(header)
    except orjson.JSONDecodeError as error:
        # The reader stops there by itself, so that no stack can overflow.
        if "depth limit" in error.msg:
            raise invalid("nesting deeper than 1024") from None
        place = len(error.doc[: error.pos].encode(errors="replace"))  # `pos` counts characters
        raise invalid(f"invalid JSON at byte {place}: {error.msg}") from None
    if type(request) is not dict:
        raise invalid(f"request must be a JSON object, found {found(request)}")
    return request


def id_of(request: Mapping[str, Any]) -> str | None:
    """Return the request's id, or None where it has none; raises `Refusal` if it is no string, or too long."""
    if "id" not in request:
        return None
    given = request["id"]
    if type(given) is not str:
        raise invalid(f"id: expected a string, found {found(given)}")
    if len(given) > MAX_ID:
        raise invalid(f"id: expected at most {MAX_ID} characters, found {len(given)}")
    return given


def parameters_of(holder: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return the parameters of a request, an input or an output; those that nobody asks for are ignored.

    Raises:
        Refusal: they are no object.
    """
    parameters = holder.get("parameters", NO_PARAMETERS)
    if type(parameters) is not dict:
        raise invalid(f"{where}: expected an object as parameters, found {found(parameters)}")
    if "shared_memory_region" in parameters:
        raise invalid(f"{where}: shared memory is not supported")
    return parameters


def flag(parameters: Mapping[str, Any], key: str, where: str, *, default: bool) -> bool:
    """Return a parameter that is true or false; raises `Refusal` if it is neither."""
    given = parameters.get(key, default)
    if given is not True and given is not False:
        raise invalid(f"{where}: expected true or false as {key}, found {found(given)}")
    return given


def natural(parameters: Mapping[str, Any], key: str, where: str, *, default: int = 0) -> int:
    """Return a parameter that is an integer of at least 0; raises `Refusal` if it is something else."""
    given = parameters.get(key, default)
    if type(given) is not int or given < 0:
        raise invalid(f"{where}: expected an integer of at least 0 as {key}, found {found(given)}")
    return given
