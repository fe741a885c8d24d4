"""Memory that a training step frees stays with the process: the next step wants the same again.

By default glibc gives every large block back to the system at once, and the kernel clears it anew in each step; on a
CPU that is a quarter of the time of a training step (measured: VGG-11 at 32 pixels 66 → 81 images/s on 2 cores).
"""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h
_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Tell glibc to reuse large blocks; does nothing where there is another C library."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _LARGEST)
        libc.mallopt(_TOP_PAD, 2**26)
