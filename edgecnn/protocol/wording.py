"""How a refusal speaks of what a client sent: bounded, escaped, in JSON's words.

Whatever a client sends may end up in a log or on a page; no message repeats it at length or raw.
"""

from typing import Any

from edgecnn.protocol.refusal import Refusal

_LONGEST = 80
_MOST = 8


def invalid(message: str) -> Refusal:
    """Return the refusal of a request that is malformed."""
    return Refusal("invalid", message)


def quoted(text: str) -> str:
    """Return text in quotes, 100 characters at most, with control characters escaped."""
    escaped = repr(text[:_LONGEST])
    return escaped if len(text) <= _LONGEST and len(escaped) <= 100 else f"{escaped[:95]}...'"


def found(value: Any) -> str:
    """Say what a JSON value is; of containers only the kind."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None:
        return "null"
    # At most 64 bits or a double: JSON has no longer numbers here.
    return str(value).lower()


def shown(shape: list[Any]) -> str:
    """Return a shape as it was sent, or its beginning."""
    return f"[{','.join(found(size) for size in shape[:_MOST])}{',...' if len(shape) > _MOST else ''}]"
