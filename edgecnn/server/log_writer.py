"""Writes log lines in a separate thread, so that no other thread waits for the reader of the log.

The queue of lines is bounded. Lines beyond the bounds, and lines that cannot be written, are dropped and counted.
"""

import contextlib
import os
import queue
import selectors
import threading
from collections.abc import Callable

_MOST_LINES, _MOST_BYTES = 10_000, 2 << 20
"""Bounds of the queue. A server that logs 5,000 requests a second fills it in about two seconds."""
_WRITTEN_BYTES = 4096
"""Size up to which lines are joined for one write. A pipe takes up to 4096 bytes in one piece (POSIX, PIPE_BUF), so the
lines of several processes do not mix."""
_PAUSE_S = 0.01
"""Pause after writes, in which more lines arrive. Without it, each line would switch threads."""
_FLUSH_S = 1.0


class LogWriter:
    """Writes lines to a descriptor. `put` is for one thread at a time, as a handler's lock ensures."""

    def __init__(self, fd: int, note: Callable[[int], bytes]) -> None:
        """Prepare the writer; the thread starts with the first line.

        Args:
            fd: the descriptor.
            note: returns the line for a number of dropped lines.
        """
        self._fd, self._note = fd, note
        self._refused = self._lost = self._noted = 0
        self.restart()

    @property
    def dropped(self) -> int:
        """Number of lines that were dropped."""
        return self._refused + self._lost

    def restart(self) -> None:
        """Begin with an empty queue and without a thread, as a child process must after a fork."""
        self._queue: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self._put_bytes = self._taken_bytes = 0
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._is_torn = False

    def put(self, line: bytes) -> None:
        """Queue a line with its line break, or drop it. Never waits."""
        is_full = self._put_bytes - self._taken_bytes + len(line) > _MOST_BYTES or self._queue.qsize() >= _MOST_LINES
        if is_full or not self._is_running():
            self._refused += 1
            return
        self._put_bytes += len(line)
        self._queue.put(line)

    def flush(self) -> bool:
        """Wait until the queued lines are written, for at most a second; return whether they are."""
        if self._thread is None:
            return True
        reached = threading.Event()
        self._queue.put(reached)
        self._hurry.set()
        return reached.wait(_FLUSH_S)

    def _is_running(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="edgecnn-log", daemon=True)
            with contextlib.suppress(RuntimeError, MemoryError):  # the system has no room for a thread
                thread.start()
                self._thread = thread
        return self._thread is not None

    def _run(self) -> None:
        lines: list[bytes] = []
        size = 0
        while True:
            item = self._queue.get()
            if isinstance(item, bytes):
                self._taken_bytes += len(item)
                if size + len(item) > _WRITTEN_BYTES:
                    self._write(lines)
                    size = 0
                lines.append(item)
                size += len(item)
            if isinstance(item, threading.Event) or self._queue.empty():
                self._write(lines)
                size = 0
                self._write_note()
                if isinstance(item, threading.Event):
                    self._hurry.clear()
                    item.set()
                else:
                    self._hurry.wait(_PAUSE_S)

    def _write_note(self) -> None:
        """Write how many lines were dropped since the last note."""
        dropped = self.dropped
        if dropped > self._noted and self._is_written(self._note(dropped - self._noted)):
            self._noted = dropped

    def _write(self, lines: list[bytes]) -> None:
        """Write lines and clear the list."""
        if lines and not self._is_written(b"".join(lines)):
            self._lost += len(lines)
        lines.clear()

    def _is_written(self, content: bytes) -> bool:
        """Write lines; return False after an error, such as a full disk or a closed descriptor."""
        if self._is_torn:  # the last write ended within a line
            content = b"\n" + content
        left = content
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:  # another process has made the descriptor non-blocking
                _wait_for_room(self._fd)
            except OSError:
                self._is_torn = self._is_torn if left is content else not content[: -len(left)].endswith(b"\n")
                return False
        self._is_torn = False
        return True


def _wait_for_room(fd: int) -> None:
    with selectors.DefaultSelector() as selector, contextlib.suppress(OSError, ValueError):
        selector.register(fd, selectors.EVENT_WRITE)
        selector.select(_FLUSH_S)
