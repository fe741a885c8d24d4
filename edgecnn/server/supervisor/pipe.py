"""A pipe from the worker to the supervisor."""

import contextlib
import os
import selectors

_READ_BYTES = 1 << 16
_READS = 64
"""Maximum reads in a row: a worker that writes without end must not keep the supervisor busy."""


class Pipe:
    """The reading end of a pipe. The selector reports new content while the pipe is open; no method waits."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._fd: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the other end may still write."""
        return self._fd is not None

    def open(self) -> int:
        """Open a new pipe; return the writing end, which the caller closes.

        Raises:
            OSError: the system has no descriptor left.
        """
        self._fd, writing = os.pipe()
        try:
            os.set_blocking(self._fd, False)
            self._selector.register(self._fd, selectors.EVENT_READ)
        except OSError:
            os.close(writing)
            self.close()
            raise
        return writing

    def read(self) -> bytes:
        """Return the content that was written since the last call; close the pipe if it has ended."""
        content = b""
        for _ in range(_READS):
            if self._fd is None:
                break
            try:
                piece = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                piece = b""
            content += piece
            if not piece:
                self.close()
        return content

    def close(self) -> None:
        """Close the reading end."""
        if self._fd is not None:
            with contextlib.suppress(KeyError, OSError):  # it was not registered
                self._selector.unregister(self._fd)
            os.close(self._fd)
            self._fd = None
