"""The memory budget of a worker: one sum over request bodies, decoded data and unread responses.

Every request has a claim. A step that needs memory adds to the claim before it allocates, so the sum of all requests
stays below the budget. Small steps may use the whole budget, large ones only a part of it: a few large requests cannot
block the small ones.
"""

import contextlib
import threading
from collections.abc import Iterator

from edgecnn.host.resources import memory_limit
from edgecnn.protocol.refusal import Refusal

SMALL_BYTES = 64 << 10
"""Largest step that may use the whole budget."""
_DEFAULT_SHARE = 0.5
_UNKNOWN_BYTES = 512 << 20
"""Budget where the system does not report its memory."""
_LARGE_SHARE = 7 / 8
"""Part of the budget that larger steps may use."""


def default_budget() -> int:
    """Return half of the memory that this process may use. The other half is for engines and models."""
    limit = memory_limit()
    return _UNKNOWN_BYTES if limit is None else int(limit * _DEFAULT_SHARE)


class MemoryBudget:
    """The bytes that all requests of a worker may use together. Callable from any thread.

    Attributes:
        total_bytes: the budget.
        held_bytes: the sum of all claims.
        refused: number of steps that did not get their memory.
    """

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.held_bytes = 0
        self.refused = 0
        self._large_bytes = int(total_bytes * _LARGE_SHARE)
        self._lock = threading.Lock()

    def claim(self) -> "Claim":
        """Return an empty claim for a request."""
        return Claim(self)

    def take(self, size: int, *, own_bytes: int = 0) -> None:
        """Reserve bytes for a request that already holds `own_bytes`.

        Raises:
            Refusal: "too_large" if the request can never get so much memory, "busy" if other requests hold it now.
        """
        most = self.total_bytes if size <= SMALL_BYTES else self._large_bytes
        with self._lock:
            if self.held_bytes + size <= most:
                self.held_bytes += size
                return
            self.refused += 1
        if own_bytes + size > most:
            raise Refusal(
                "too_large",
                f"the request needs {_mib(own_bytes + size)} of memory, and one request may use {_mib(most)}: send "
                f"fewer or smaller images, or start the server with a larger --memory-budget",
            )
        raise Refusal("busy", "the memory for requests is in use: try again later")

    def give(self, size: int) -> None:
        """Return reserved bytes."""
        with self._lock:
            self.held_bytes -= size


class Claim:
    """The bytes that one request holds. It must be released when the request ends, and may be released twice.

    One request has one step at a time, so a claim needs no lock.
    """

    __slots__ = ("_budget", "held_bytes")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Reserve more bytes; raises `Refusal` as `MemoryBudget.take` does."""
        self._budget.take(size, own_bytes=self.held_bytes)
        self.held_bytes += size

    def release(self, size: int | None = None) -> None:
        """Return some bytes, or all."""
        size = self.held_bytes if size is None else size
        if size:
            self.held_bytes -= size
            self._budget.give(size)

    @contextlib.contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold bytes during a step, beside those of the claim; raises `Refusal` as `MemoryBudget.take` does.

        The step may run in another thread and outlive the request, whose claim is released earlier.
        """
        self._budget.take(size, own_bytes=self.held_bytes)
        try:
            yield
        finally:
            self._budget.give(size)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
