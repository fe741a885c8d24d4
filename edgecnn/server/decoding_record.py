"""The images that a worker decodes at the moment, in memory that it shares with the supervisor.

The worker writes the digest of a file before it decodes it, and clears it afterwards. If the worker crashes, the
supervisor finds the digests of the images that were being decoded. The memory is a file without a name and without a
disk (memfd_create(2)). Where the system has none, nothing is recorded.
"""

import contextlib
import mmap
import os
import threading
from collections.abc import Iterator

DIGEST_BYTES = 16
_SLOTS = 256
_SLOT_BYTES = 1 + DIGEST_BYTES
_SIZE = _SLOTS * _SLOT_BYTES
_FREE, _DECODING, _ALONE = 0, 1, 2


def create_record() -> int | None:
    """Return the descriptor of a new, empty record; None if the system has no such memory."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        fd = os.memfd_create("edgecnn-decoding")
        os.ftruncate(fd, _SIZE)
    except OSError:
        return None
    return fd


class DecodingRecord:
    """The record in one process. A slot has a state, then a digest."""

    def __init__(self, fd: int | None) -> None:
        self._memory = mmap.mmap(-1 if fd is None else fd, _SIZE)
        self._free = list(range(_SLOTS))
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def decoding(self, digest: bytes, *, alone: bool) -> Iterator[None]:
        """Record that an image is decoded, and whether no other image is decoded at the same time."""
        with self._lock:
            slot = self._free.pop() if self._free else None
        if slot is None:  # more threads than slots
            yield
            return
        start = slot * _SLOT_BYTES
        self._memory[start + 1 : start + _SLOT_BYTES] = digest
        self._memory[start] = _ALONE if alone else _DECODING
        try:
            yield
        finally:
            self._memory[start] = _FREE
            with self._lock:
                self._free.append(slot)

    def take(self) -> list[tuple[bytes, bool]]:
        """Return what the crashed worker was decoding, and clear it: each digest, and whether it was alone."""
        found = []
        for start in range(0, _SIZE, _SLOT_BYTES):
            if self._memory[start] != _FREE:
                digest = self._memory[start + 1 : start + _SLOT_BYTES]
                found.append((digest, self._memory[start] == _ALONE))
                self._memory[start] = _FREE
        return found
