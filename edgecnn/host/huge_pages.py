"""Moves the memory that a block of code allocates to huge pages: 2 MiB on most processors, instead of 4 KiB.

A processor keeps the addresses of one or two thousand pages. Weights of more than a few megabytes do not fit, and each
of their pages then needs another access to memory. Only whole huge pages that are resident already are moved, so the
process does not become larger. Linux only; elsewhere, and where the kernel refuses, nothing happens.

Source: Linux, Documentation/admin-guide/mm/transhuge.rst, and madvise(2). The environment variable
`EDGECNN_HUGE_PAGES=0` turns this off.
"""

import ctypes
import errno
import itertools
import mmap
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "EDGECNN_HUGE_PAGES"

_SETTINGS = Path("sys/kernel/mm/transparent_hugepage")
_HUGEPAGE, _COLLAPSE = 14, 25
"""Advice of madvise(2): use huge pages from now on, and (Linux 6.1 and later) move the pages now."""

Range = tuple[int, int]
"""First address, and the address after the last one."""


def _setting(root: Path) -> str | None:
    """Return when the kernel gives huge pages: `always`, `madvise` (to processes that request them) or `never`.

    None if the kernel has none. `root` contains `/proc` and `/sys`.
    """
    try:
        text = (root / _SETTINGS / "enabled").read_text()
    except (OSError, ValueError):
        return None
    return next((word.strip("[]") for word in text.split() if word.startswith("[")), None)


def huge_page_bytes(root: Path = Path("/")) -> int | None:
    """Return the size of a huge page; None if the kernel does not report it."""
    try:
        return int((root / _SETTINGS / "hpage_pmd_size").read_text())
    except (OSError, ValueError):
        return None


def on_huge_pages_bytes(root: Path = Path("/")) -> int | None:
    """Return the bytes of this process that are on huge pages; None if the system does not report them."""
    try:
        lines = (root / "proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("AnonHugePages:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def why_no_huge_pages(root: Path = Path("/")) -> str | None:
    """Return why memory is not moved to huge pages; None if it is."""
    if sys.platform != "linux" or _setting(root) is None:
        return "the system has none"
    if os.environ.get(VARIABLE) == "0":
        return f"{VARIABLE} is 0"
    return "the system's setting is never" if _setting(root) == "never" else None


@contextmanager
def new_memory_on_huge_pages() -> Iterator[None]:
    """Move the memory that this process allocates in the block, and still uses at its end, to huge pages."""
    size = huge_page_bytes() if why_no_huge_pages() is None else None
    before = writable_memory() if size else []
    yield
    if size:
        _move(_without(writable_memory(), before), size)


def writable_memory(root: Path = Path("/")) -> list[Range]:
    """Return the ranges of this process's own memory: private, writable and not of a file; no stack (proc_pid_maps(5)).

    `root` contains `/proc`.
    """
    try:
        lines = (root / "proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        return []
    found: list[Range] = []
    for line in lines:
        addresses, access, _, _, inode, *name = line.split(maxsplit=5)
        if access == "rw-p" and inode == "0" and (not name or name[0] == "[heap]"):
            start, end = (int(address, 16) for address in addresses.split("-"))
            found.append((start, end))
    return found


def _without(ranges: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """Return the parts of ranges that are in no range of `others`. Both are in ascending order."""
    found: list[Range] = []
    taken = list(others)
    for start, end in ranges:
        free = start
        for low, high in taken:
            if free < high and low < end:
                if free < low:
                    found.append((free, low))
                free = high
        if free < end:
            found.append((free, end))
    return found


def _move(ranges: Iterable[Range], size: int) -> None:
    """Move ranges of memory to huge pages of `size` bytes, where all of a huge page is resident."""
    library = ctypes.CDLL(None, use_errno=True)
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    for start, end in ranges:
        first, last = -(-start // size) * size, end // size * size
        for address, count in _resident(library, first, (last - first) // size, size):
            # The older advice stays: memory that is freed there and used again would get huge pages too.
            if library.madvise(address, count * size, _COLLAPSE) and ctypes.get_errno() == errno.EINVAL:
                library.madvise(address, count * size, _HUGEPAGE)


def _resident(library: ctypes.CDLL, first: int, count: int, size: int) -> Iterator[Range]:
    """Yield the address and the number of neighbouring huge pages of which every small page is resident."""
    if count <= 0:
        return
    pages = size // mmap.PAGESIZE
    state = ctypes.create_string_buffer(count * pages)
    if library.mincore(first, count * size, state):
        return
    in_memory = state.raw
    whole = [0 not in in_memory[number * pages : (number + 1) * pages] for number in range(count)]
    for is_whole, numbers in itertools.groupby(range(count), key=whole.__getitem__):
        members = list(numbers)
        if is_whole:
            yield first + members[0] * size, len(members)
