"""Delivers signals through a file descriptor, for a selector; and the state of the controlling terminal."""

import errno
import os
import signal
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | int | None


class Signals:
    """Collects signals within the `with` block, in the main thread; ignored signals stay ignored.

    Child processes have the default handlers: `exec` resets them, and until then `subprocess` blocks signals, so that a
    signal to the child is not read here.
    """

    def __init__(self, wanted: Iterable[signal.Signals]) -> None:
        self._wanted = tuple(wanted)
        self._before: dict[signal.Signals, Handler] = {}
        self._wakeup_before = -1
        self._read = self._write = -1

    def fileno(self) -> int:
        """Return the file descriptor, for a selector."""
        return self._read

    def take(self) -> list[signal.Signals]:
        """Return the signals since the last call, in order."""
        try:
            numbers = os.read(self._read, 4096)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in numbers if number in self._wanted]

    def __enter__(self) -> "Signals":
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in self._wanted:
            # `nohup` ignores SIGHUP, which must stay so; SIGCHLD is always needed, to wait for children.
            if signal.getsignal(number) is not signal.SIG_IGN or number is signal.SIGCHLD:
                self._before[number] = signal.signal(number, _do_nothing)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._read)
        os.close(self._write)


def has_terminal() -> bool:
    """Return whether this process has a controlling terminal. It loses the terminal when that is closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # unknown
    return True


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Ignore a signal; Python writes to the wakeup descriptor only if a handler exists."""
