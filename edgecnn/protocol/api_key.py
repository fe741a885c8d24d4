"""The server's API key, which is read from a file once and never written, and the key in a request."""

from collections.abc import Mapping
from pathlib import Path

from edgecnn.errors import UsageError

SHORTEST_KEY = 16
_LARGEST_FILE = 4096


def read_api_key(path: Path, *, shortest: int = SHORTEST_KEY) -> bytes:
    """Return the key that a file holds: one line of printable ASCII without spaces, as it stands in a header.

    Who may read the file is not looked at: what Kubernetes and Docker mount is readable by all of the container.

    Args:
        path: of the file.
        shortest: how many characters it must have. Of a key that others have chosen, one is enough.

    Raises:
        UsageError: it cannot be read, or holds something else; the message shows nothing of it.
    """
    try:
        with path.open("rb") as file:
            lines = file.read(_LARGEST_FILE + 1).splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the API key file {path}: {error.strerror}") from None
    key = lines[0] if len(lines) == 1 else b""
    if not shortest <= len(key) <= _LARGEST_FILE or not all(0x21 <= byte <= 0x7E for byte in key):
        length = f" of at least {shortest}" if shortest > 1 else " of"
        hint = ": write one with `openssl rand -hex 32`" if shortest > 1 else ""
        raise UsageError(f"{path} must hold one line{length} printable ASCII characters, without spaces{hint}")
    return key


def shown_key(headers: Mapping[str, str]) -> str:
    """Return the key in the headers of HTTP, or metadata of gRPC, by their names in lower case; else an empty text."""
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    return shown if scheme.lower() == "bearer" else headers.get("x-api-key", "")
