"""Reads the server's API key from its file, and the key in a request. The key is never logged."""

from collections.abc import Mapping
from pathlib import Path

from edgecnn.errors import UsageError

SHORTEST_KEY = 16
_LARGEST_FILE = 4096


def read_api_key(path: Path, *, shortest: int = SHORTEST_KEY) -> bytes:
    """Return the key in a file: one line of printable ASCII without spaces.

    File permissions are not checked: Kubernetes and Docker mount secrets readable for the whole container.

    Args:
        path: of the file.
        shortest: minimum length in characters; a client uses 1, since the server chooses the key.

    Raises:
        UsageError: the file cannot be read, or has other content; the message does not contain the key.
    """
    try:
        with path.open("rb") as file:
            lines = file.read(_LARGEST_FILE + 1).splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the API key file {path}: {error.strerror}") from None
    key = lines[0] if len(lines) == 1 else b""
    if not shortest <= len(key) <= _LARGEST_FILE or not all(0x21 <= byte <= 0x7E for byte in key):
        length = f" of at least {shortest}" if shortest > 1 else " of"
        hint = ": create one with `openssl rand -hex 32`" if shortest > 1 else ""
        raise UsageError(f"{path} must contain one line{length} printable ASCII characters, without spaces{hint}")
    return key


def shown_key(headers: Mapping[str, str]) -> str:
    """Return the key in HTTP headers or gRPC metadata, with names in lower case; an empty string without a key."""
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    return shown if scheme.lower() == "bearer" else headers.get("x-api-key", "")
