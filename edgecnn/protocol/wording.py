"""Formats values from clients for error messages: shortened, escaped, with JSON's names.

Messages may appear in logs and on web pages, so they must not contain raw or long input.
"""

from typing import Any

from edgecnn.protocol.refusal import Refusal

_LONGEST = 80
_MOST = 8


def invalid(message: str) -> Refusal:
    """Return the error for a malformed request."""
    return Refusal("invalid", message)


def quoted(text: str) -> str:
    """Return text in quotes, at most 100 characters, with control characters escaped."""
    escaped = repr(text[:_LONGEST])
    return escaped if len(text) <= _LONGEST and len(escaped) <= 100 else f"{escaped[:95]}...'"


def found(value: Any) -> str:
    """Describe a JSON value; of a container, only the kind and length."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None:
        return "null"
    # Short: orjson returns integers of at most 64 bits, and doubles.
    return str(value).lower()


def shown(shape: list[Any]) -> str:
    """Return a shape as text; a long one is shortened."""
    return f"[{','.join(found(size) for size in shape[:_MOST])}{',...' if len(shape) > _MOST else ''}]"
