"""Reads keys and signatures: small files that anybody may have put there. Standard library only."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import SignatureInvalid, SignatureMissing

LARGEST_KEY = 64 << 10
"""Bytes: a key has a few hundred, and an `EC PARAMETERS` block or a comment may stand before it."""

LARGEST_SIGNATURE = 1 << 20
"""Bytes: that of a bundle has about 3 kB."""


@dataclass(frozen=True)
class Signature:
    """What stands in a signature's file; whether it holds, `openssf.check_signature` says.

    Attributes:
        path: of the file; for messages.
        content: of it.
    """

    path: Path
    content: bytes


def read_small_file(path: Path, most_bytes: int) -> bytes:
    """Return a file's content; a link is followed, as Kubernetes mounts them: what counts is what stands there.

    Args:
        path: of the file.
        most_bytes: that it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no plain file, or larger; the message continues a sentence about it.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe would be waited for
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("is not a plain file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(most_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > most_bytes:
        raise ValueError(f"has more than {most_bytes >> 10} KiB")
    return content


def read_signature(path: Path, *, bundle: Path) -> Signature:
    """Read the signature of a bundle.

    Raises:
        SignatureMissing: there is none.
        SignatureInvalid: it is no file that a signature can be in.
    """
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
