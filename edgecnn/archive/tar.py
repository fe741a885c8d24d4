"""Headers of a tar archive (POSIX ustar) in the one form that edgecnn writes, and words for every other.

A header is made from a folder's name, a file's name and its size, and from nothing else: no time, no owner, no umask.
Reading makes it again and compares all 512 bytes. So what else a tar can say (links, devices, sparse files, the
extensions of pax and GNU) needs no rule of its own: it differs, and is only named. Reads and writes no files.
"""

from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import BundleError, UnsafePath

BLOCK = 512
"""Bytes of a header, and what each file is filled up to."""

END = bytes(2 * BLOCK)
"""What an archive ends with."""

LARGEST = 8**11 - 1
"""Bytes of a file, 8 GiB: what eleven octal digits hold."""

_NAME, _SIZE, _CHECKSUM, _TYPE, _PREFIX = slice(0, 100), slice(124, 136), slice(148, 156), 156, slice(345, 500)
_KINDS = {
    "1": "a hard link",
    "2": "a symbolic link",
    "3": "a device",
    "4": "a device",
    "5": "a folder",
    "6": "a pipe",
    "7": "a contiguous file",
    "x": "a pax extension",
    "g": "a pax extension",
    "K": "a GNU extension",
    "L": "a GNU extension",
    "D": "a GNU extension",
    "M": "a part of a file",
    "S": "a sparse file",
    "V": "a volume's label",
}


@dataclass(frozen=True)
class Header:
    """What a header says of a plain file: its path in the archive, and its size."""

    path: str
    size_bytes: int


def write_header(folder: str, name: str, size_bytes: int) -> bytes:
    """Return the header of the file `folder/name`; each is at most 100 ASCII characters."""
    fields = (
        name.encode("ascii").ljust(100, b"\0"),
        b"0000644\0",  # mode: all may read it
        *(b"0000000\0",) * 2,  # owner, group
        b"%011o\0" % size_bytes,
        b"00000000000\0",  # seconds since 1970
        b" " * 8,
        b"0".ljust(101, b"\0"),  # a plain file; no link
        b"ustar\x0000".ljust(72, b"\0"),  # no names of owner and group
        *(b"0000000\0",) * 2,  # of a device
        folder.encode("ascii").ljust(155, b"\0"),
        bytes(12),
    )
    header = bytearray(b"".join(fields))
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    return bytes(header)


def read_header(header: bytes, *, archive: Path) -> Header:
    """Read the header of a plain file; that it is in our form, comparing with `write_header` says.

    Args:
        header: its 512 bytes.
        archive: for messages.

    Raises:
        UnsafePath: it is not that of a plain file, or its path leads elsewhere.
        BundleError: it is no header.
    """
    unsummed = bytearray(header)
    unsummed[_CHECKSUM] = b" " * 8
    size = _octal(header[_SIZE])
    if _octal(header[_CHECKSUM]) != sum(unsummed):
        raise BundleError(f"{archive} is damaged, or no archive that `edgecnn pack` has written: copy or pack it again")
    path = "/".join(filter(None, (_text(header[_PREFIX]), _text(header[_NAME]))))
    if header[_TYPE : _TYPE + 1] not in (b"0", b"\0"):
        kind = chr(header[_TYPE])
        what = _KINDS.get(kind, f"of the unknown kind {kind!r}")
        raise UnsafePath(f"{archive} holds {path!r}, which is {what}: a bundle holds plain files only")
    _check_path(path, archive)
    if size is None:
        raise BundleError(f"{archive} gives {path!r} no size that edgecnn reads: pack the bundle again")
    return Header(path, size)


def padding(size_bytes: int) -> int:
    """Return how many zeros follow a file of that size."""
    return -size_bytes % BLOCK


def _check_path(path: str, archive: Path) -> None:
    """Name a path that another reader might follow out of its target; ours takes only the names in the manifest."""
    parts = path.split("/")
    if not path or path.startswith("/") or "\\" in path or ":" in path or ".." in parts or "." in parts or "" in parts:
        raise UnsafePath(f"{archive} holds the path {path!r}, which is not that of a file in a bundle")


def _octal(field: bytes) -> int | None:
    """Read a number; None where it is in another notation, as GNU tar has for what is larger than `LARGEST`."""
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    if not digits or digits.strip(b"01234567"):
        return None
    return int(digits, 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "backslashreplace")
