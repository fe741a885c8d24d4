"""Tells the service manager how the server is, as sd_notify(3) has it: ready, what is served, well, ending.

One datagram a message, to the socket that `NOTIFY_SOCKET` names; where there is none, nothing is done. It never waits
and never raises: a manager that does not listen must not harm the server. What the socket has no room for is sent
again soon, except a sign of life, which the next one replaces.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping

OWN_VARIABLES = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})
"""Of the supervisor alone: no child may speak for it."""

_AGAIN_S = 0.2
_LONGEST_STATUS = 500
_NEVER = float("inf")

log = logging.getLogger("edgecnn.server")


class Notifier:
    """What one process tells its service manager.

    Attributes:
        watchdog_s: how long the manager waits for a sign of life before it starts the server again; None where it
            does not watch this process.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.watchdog_s: float | None = None
        self._address: str | None = None
        self._socket: socket.socket | None = None
        self._unsent: dict[str, str] = {}
        """Variable to value, each the latest, in the order in which they were first said."""
        self._again_at = self._alive_at = _NEVER
        name = environment.get("NOTIFY_SOCKET", "")
        if not name:
            return
        if name[0] not in "/@":
            log.warning("NOTIFY_SOCKET is neither a path nor an abstract name: the service manager is told nothing")
            return
        self._address = "\0" + name[1:] if name[0] == "@" else name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.watchdog_s = _watchdog_s(environment)
        if self.watchdog_s is not None:
            self._alive_at = time.monotonic()

    def ready(self) -> None:
        """Say that everything is served that can be."""
        self._say("READY", "1")

    def stopping(self) -> None:
        """Say that the server ends."""
        self._say("STOPPING", "1")

    def status(self, text: str) -> None:
        """Say in one line what the server does; what could break the line is replaced, and what is too long cut."""
        line = "".join(char if char.isprintable() else "?" for char in text)
        self._say("STATUS", line if len(line) <= _LONGEST_STATUS else line[: _LONGEST_STATUS - 1] + "…")

    def do_what_is_due(self, *, is_well: bool) -> None:
        """Send what could not be sent, and a sign of life where its time has come.

        Args:
            is_well: whether the server does what it is there for, or mends itself; else there is no sign of life.
        """
        now = time.monotonic()
        if self._again_at <= now:
            self._send_unsent()
        if self._alive_at <= now and self.watchdog_s is not None:
            self._alive_at = now + self.watchdog_s / 2
            if is_well:
                self._send("WATCHDOG=1")

    def due_at(self) -> float:
        """Return when, by the monotonic clock, `do_what_is_due` has something to do."""
        return min(self._again_at, self._alive_at)

    def close(self) -> None:
        """Say what is still unsaid, if there is room now, and nothing after that."""
        self._send_unsent()
        if self._socket is not None:
            self._socket.close()
        self._socket, self._again_at, self._alive_at = None, _NEVER, _NEVER

    def _say(self, variable: str, value: str) -> None:
        if self._socket is not None:
            self._unsent[variable] = value
            self._send_unsent()

    def _send_unsent(self) -> None:
        self._again_at = _NEVER
        if self._unsent and self._send("\n".join(f"{name}={value}" for name, value in self._unsent.items())):
            self._unsent.clear()
        elif self._unsent:
            self._again_at = time.monotonic() + _AGAIN_S

    def _send(self, message: str) -> bool:
        """Send a datagram; return False where there is no room for it now."""
        if self._socket is None or self._address is None:
            return True
        try:
            self._socket.sendto(message.encode(), self._address)
        except (BlockingIOError, InterruptedError):
            return False
        except (OSError, ValueError) as error:  # no such socket, nobody listens, a path that can be none
            log.debug("the service manager cannot be told", extra={"reason": str(error)})
        return True


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return the time that `WATCHDOG_USEC` gives, where it is meant for this process."""
    pid = environment.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return None
    with contextlib.suppress(ValueError):
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
        if microseconds > 0:
            return microseconds / 1e6
    return None
