"""Read keys and signatures, which are small untrusted files. Uses the standard library only."""

from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import SignatureInvalid, SignatureMissing
from edgecnn.files.file import open_plain_file

LARGEST_KEY = 64 << 10
"""Largest size of a key file in bytes. A key has a few hundred, plus comments or an `EC PARAMETERS` block."""

LARGEST_SIGNATURE = 1 << 20
"""Largest size of a signature file in bytes. A typical one has 3 kB."""


@dataclass(frozen=True)
class Signature:
    """The unverified content of a signature file; `path` is used in messages. See `openssf.check_signature`."""

    path: Path
    content: bytes


def read_small_file(path: Path, most_bytes: int) -> bytes:
    """Return a file's content. Links are followed, because Kubernetes mounts files as links.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a plain file, or is too large; the message continues a sentence about it.
    """
    with open_plain_file(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"has more than {most_bytes >> 10} KiB")
    return content


def read_signature(path: Path, *, bundle: Path) -> Signature:
    """Read the signature file of a bundle. Raise `SignatureMissing`, or `SignatureInvalid` if it is unreadable."""
    try:
        return Signature(path, read_small_file(path, LARGEST_SIGNATURE))
    except (FileNotFoundError, NotADirectoryError):
        raise SignatureMissing(
            f"{bundle} is not signed: expected its signature in {path}, found none; sign it with `edgecnn sign`"
        ) from None
    except OSError as error:
        raise SignatureInvalid(f"cannot read the signature {path}: {error.strerror}") from None
    except ValueError as error:
        raise SignatureInvalid(f"{path} {error}: expected a signature of `edgecnn sign`") from None
