"""Return freed memory to the system after a burst of large requests.

The allocator of glibc keeps freed memory for later requests, in each of its arenas. malloc_trim(3) returns it, except
for the end of an arena. By default glibc keeps more the larger the freed blocks are, so the limits are set once
(mallopt(3)). Other allocators (musl, macOS, Windows) have no such functions and return memory themselves.
"""

import ctypes
import gc
import os
import sys

from edgecnn.host.resources import resident_bytes
from edgecnn.server.memory import MemoryBudget

_LEAST_BYTES = 16 << 20
"""Smallest growth of the resident set that is worth a trim."""
_FALL = 4
"""The held memory must be this many times below its peak."""
_QUIET_CHECKS = 3
"""Number of checks in a row without a large claim before a trim, so that a steady load causes none."""
_CHECKS, _TRIMS = 5, 12
"""Checks between trims, and trims after a growth: connections may keep their memory for a while, or for good."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt: freed bytes at the end of an arena that are kept, and the size of blocks of their own."""
_KEPT_BYTES, _OWN_BYTES = 4 << 20, 1 << 20


class Trimmer:
    """Trims the allocator after a burst. Used in one thread.

    A burst has ended when the claims are far below their peak. Connections, TLS and gRPC allocate memory without a
    claim, so the resident set decides whether there is something to return.

    Attributes:
        trims: number of trims.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self.trims = 0
        self._budget = budget
        self._library = _glibc()
        self._peak_bytes = _LEAST_BYTES
        self._quiet = 0
        self._floor_bytes = 0  # the resident set that is in use for good
        self._left = _TRIMS  # trims until the resident set is accepted as the floor

    def check(self) -> None:
        """Trim if a burst has ended; call this about once a second."""
        peak = self._budget.peak_bytes
        self._budget.forget_peak()
        self._peak_bytes = max(self._peak_bytes, peak)
        self._quiet = self._quiet + 1 if peak * _FALL <= self._peak_bytes else min(self._quiet, 0)
        if self._library is None or self._quiet < _QUIET_CHECKS:
            return
        if resident_bytes() >= self._floor_bytes + _LEAST_BYTES:
            gc.collect()  # TLS connections leave objects that reference each other
            self._library.malloc_trim(ctypes.c_size_t(0))  # without Python's lock
            self.trims += 1
            self._left -= 1
            self._peak_bytes = max(peak, _LEAST_BYTES)
            self._quiet = _QUIET_CHECKS - _CHECKS
        else:
            self._left = _TRIMS
        resident = resident_bytes()
        if resident < self._floor_bytes or not self._left:
            self._floor_bytes, self._left = resident, _TRIMS


def _glibc() -> ctypes.CDLL | None:
    """Return the C library with its limits set; None if it is not glibc. Limits in the environment are kept."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        return None
    if not any(name.startswith("MALLOC_") for name in os.environ):
        library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_MMAP_THRESHOLD, _OWN_BYTES)
    return library
