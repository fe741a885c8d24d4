"""Reads the JSON header of a request, and checks the types of its fields and parameters.

If a key occurs twice in an object, the last one counts, as in most readers (RFC 8259, section 4).
"""

from collections.abc import Mapping
from typing import Any

import orjson

from edgecnn.protocol.http_headers import HEADER_LENGTH
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import found, invalid, quoted

MAX_ID = 256
"""Maximum length of an id in characters: it is stored, returned and logged."""

MAX_JSON_BYTES = 16 << 20
"""Default limit of JSON in bytes: after parsing, `[],` takes 28 times as much memory."""

NO_PARAMETERS: Mapping[str, Any] = {}


def length_of(text: str, *, size: int) -> int:
    """Return the length of the JSON from `Inference-Header-Content-Length`; 0 means a request without JSON.

    Raises:
        Refusal: the text is not a number from 0 to `size`, the length of the body in bytes.
    """
    # int() also accepts signs, spaces, underscores and non-ASCII digits.
    if not (text.isascii() and text.isdecimal()):
        raise invalid(f"{HEADER_LENGTH}: expected decimal digits, found {quoted(text)}")
    # 64 bits need at most 20 digits; int() is slow for very long texts.
    if len(text) > 20 or (length := int(text)) > size:
        raise invalid(f"inference header size should be in range (0, {size}), got: {quoted(text)[1:-1]}")
    return length


def load(header: bytes, *, max_bytes: int) -> dict[str, Any]:
    """Parse the JSON header of a request.

    Raises:
        Refusal: it is not a JSON object, or longer than `max_bytes`.
    """
    if len(header) > max_bytes:
        message = f"expected at most {max_bytes} bytes of JSON, found {len(header)}; send tensors as binary data"
        raise Refusal("too_large", message)
    try:
        request = orjson.loads(header)
    except orjson.JSONDecodeError as error:
        # orjson limits the depth itself, so the stack cannot overflow.
        if "depth" in error.msg:  # the wording differs between versions
            raise invalid("nesting deeper than 1024") from None
        place = len(error.doc[: error.pos].encode(errors="replace"))  # `pos` counts characters
        raise invalid(f"invalid JSON at byte {place}: {error.msg}") from None
    if type(request) is not dict:
        raise invalid(f"request must be a JSON object, found {found(request)}")
    return request


def id_of(request: Mapping[str, Any]) -> str | None:
    """Return the request's id, or None if it has none; raises `Refusal` if it is not a string, or too long."""
    if "id" not in request:
        return None
    given = request["id"]
    if type(given) is not str:
        raise invalid(f"id: expected a string, found {found(given)}")
    if len(given) > MAX_ID:
        raise invalid(f"id: expected at most {MAX_ID} characters, found {len(given)}")
    return given


def parameters_of(holder: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return the parameters of a request, an input or an output; unknown parameters are allowed.

    Raises:
        Refusal: they are not an object, or request shared memory.
    """
    parameters = holder.get("parameters", NO_PARAMETERS)
    if type(parameters) is not dict:
        raise invalid(f"{where}: expected an object as parameters, found {found(parameters)}")
    if "shared_memory_region" in parameters:
        raise invalid(f"{where}: shared memory is not supported")
    return parameters


def flag(parameters: Mapping[str, Any], key: str, where: str, *, default: bool) -> bool:
    """Return a boolean parameter; raises `Refusal` if it is not true or false."""
    given = parameters.get(key, default)
    if given is not True and given is not False:
        raise invalid(f"{where}: expected true or false as {key}, found {found(given)}")
    return given


def natural(parameters: Mapping[str, Any], key: str, where: str, *, default: int = 0) -> int:
    """Return a parameter that is an integer of at least 0; raises `Refusal` if it is not."""
    given = parameters.get(key, default)
    if type(given) is not int or given < 0:
        raise invalid(f"{where}: expected an integer of at least 0 as {key}, found {found(given)}")
    return given
