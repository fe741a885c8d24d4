"""The memory budget of a worker: one sum over request bodies, decoded data and unread responses.

Every request has a claim. A step that needs memory adds to the claim before it allocates, so the sum of all requests
stays below the budget. Small steps may use the whole budget, large ones only a part of it: a few large requests cannot
block the small ones.

The copy of a batch that joins several requests is not included. It is as large as a batch of the engine, and belongs to
the memory for engines.
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
        large_bytes: the part of the budget that steps above `SMALL_BYTES` may use.
        peak_bytes: the largest sum since `forget_peak`.
        refused: number of steps that did not get their memory.
    """

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.held_bytes = self.peak_bytes = 0
        self.refused = 0
        self.large_bytes = int(total_bytes * _LARGE_SHARE)
        self._lock = threading.Lock()

    def claim(self) -> "Claim":
        """Return an empty claim for a request."""
        return Claim(self)

    def forget_peak(self) -> None:
        """Measure the peak from now on."""
        self.peak_bytes = self.held_bytes

    def _take(self, size: int, own_bytes: int) -> None:
        """Reserve bytes for a request that already holds `own_bytes`; the caller has the lock."""
        most = self.total_bytes if size <= SMALL_BYTES else self.large_bytes
        held = self.held_bytes + size
        if held <= most:
            self.held_bytes = held
            self.peak_bytes = max(self.peak_bytes, held)
            return
        self.refused += 1
        if own_bytes + size > most:
            raise Refusal(
                "too_large",
                f"the request needs {_mib(own_bytes + size)} of memory, and one request may use {_mib(most)}: send "
                f"fewer or smaller images, or start the server with a larger --memory-budget",
            )
        raise Refusal("busy", "the memory for requests is in use: try again later")


class Claim:
    """The bytes that one request holds. It must be released when the request ends, and may be released twice.

    Callable from any thread. A step of the request that runs in another thread keeps the memory: `keep` before the
    step starts and `let_go` after it ends defer a release in between.
    """

    __slots__ = ("_budget", "_is_ended", "_is_kept", "_lock", "held_bytes")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._lock = budget._lock
        self._is_kept = self._is_ended = False
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Reserve more bytes.

        Raises:
            Refusal: "too_large" if the request can never get so much memory, "busy" if other requests hold it now,
                "late" if the request ended while a step of it still runs.
        """
        budget = self._budget
        with self._lock:
            held = budget.held_bytes + size
            if held <= budget.large_bytes and not self._is_ended:  # nearly always; a call would take longer
                budget.held_bytes = held
                budget.peak_bytes = max(budget.peak_bytes, held)
            else:
                self._reserve(size)
            self.held_bytes += size

    def release(self, size: int | None = None) -> None:
        """Return some bytes, or all. While a step keeps the memory, all bytes are returned after the step."""
        if not (self.held_bytes or self._is_kept):
            return
        with self._lock:
            if size is None and self._is_kept:
                self._is_ended = True
                return
            self._give(self.held_bytes if size is None else size)

    def keep(self) -> None:
        """Keep the memory until `let_go`, for a step in another thread."""
        self._is_kept = True

    def let_go(self) -> None:
        """Return the memory if the request has ended since `keep`."""
        with self._lock:
            self._is_kept = False
            if self._is_ended:
                self._is_ended = False
                self._give(self.held_bytes)

    @contextlib.contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold bytes during a step, in addition to the claim; raises `Refusal` as `take` does."""
        with self._lock:
            self._reserve(size)
        try:
            yield
        finally:
            with self._lock:
                self._budget.held_bytes -= size

    def _reserve(self, size: int) -> None:
        if self._is_ended:
            raise Refusal("late", "the client has disconnected: the request is not continued")
        self._budget._take(size, self.held_bytes)

    def _give(self, size: int) -> None:
        self.held_bytes -= size
        self._budget.held_bytes -= size


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
