"""Reads keys and signatures: small files that anybody may have put there. Standard library only."""

from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import SignatureInvalid, SignatureMissing
from edgecnn.files.file import open_plain_file

LARGEST_KEY = 64 << 10
"""Bytes: a key has a few hundred, and an `EC PARAMETERS` block or a comment may stand before it."""

LARGEST_SIGNATURE = 1 << 20
"""Bytes: that of a bundle has about 3 kB."""


@dataclass(frozen=True)
class Signature:
    """The content of a signature's file, which `openssf.check_signature` verifies; `path` is for messages."""

    path: Path
    content: bytes


def read_small_file(path: Path, most_bytes: int) -> bytes:
    """Return a file's content; a link is followed, as Kubernetes mounts files as links.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no plain file, or larger; the message continues a sentence about it.
    """
    with open_plain_file(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"has more than {most_bytes >> 10} KiB")
    return content


def read_signature(path: Path, *, bundle: Path) -> Signature:
    """Read the signature of a bundle; raises `SignatureMissing`, or `SignatureInvalid` if it cannot be one."""
    try:
        return Signature(path, read_small_file(path, LARGEST_SIGNATURE))
    except (FileNotFoundError, NotADirectoryError):
        raise SignatureMissing(
            f"{bundle} is not signed: expected its signature in {path}, there is none; see `edgecnn sign`"
        ) from None
    except OSError as error:
        raise SignatureInvalid(f"cannot read the signature {path}: {error.strerror}") from None
    except ValueError as error:
        raise SignatureInvalid(f"{path} {error}: it is no signature that `edgecnn sign` has written") from None
