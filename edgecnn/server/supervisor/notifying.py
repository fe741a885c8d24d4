"""Notifies the service manager of the server's state by the protocol of sd_notify(3).

Each message is a datagram to the socket in `NOTIFY_SOCKET`; without it, nothing is sent. Methods never wait and never
raise. If the socket is full, a message is sent again soon, except the watchdog's.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping

OWN_VARIABLES = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})
"""Not passed to child processes, which must not notify the service manager."""

_AGAIN_S = 0.2
_UNWELL_S = 0.5
"""Pause before the next attempt at the watchdog's message while the server is not well."""
_LONGEST_STATUS = 500
_NEVER = float("inf")

log = logging.getLogger("edgecnn.server")


class Notifier:
    """Sends one process's messages; `watchdog_s` is the manager's watchdog timeout, or None without a watchdog."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.watchdog_s: float | None = None
        self._address: str | None = None
        self._socket: socket.socket | None = None
        self._unsent: dict[str, str] = {}
        """The latest value of each variable."""
        self._again_at = self._alive_at = _NEVER
        name = environment.get("NOTIFY_SOCKET", "")
        if not name:
            return
        if name[0] not in "/@":
            log.warning("NOTIFY_SOCKET must be a path or an abstract name: the service manager is not notified")
            return
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except OSError as error:
            log.warning("the service manager is not notified: %s", error.strerror)
            return
        self._socket.setblocking(False)
        self._address = "\0" + name[1:] if name[0] == "@" else name
        self.watchdog_s = _watchdog_s(environment)
        if self.watchdog_s is not None:
            self._alive_at = time.monotonic()

    def ready(self) -> None:
        """Report that the models are served."""
        self._say("READY", "1")

    def reloading(self) -> None:
        """Report that certificate and keys are read again; `ready` must follow."""
        self._say("RELOADING", f"1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the server ends."""
        self._say("STOPPING", "1")

    def status(self, text: str) -> None:
        """Report the server's state as one line; line breaks are replaced, and a long text is cut."""
        line = "".join(char if char.isprintable() else "?" for char in text)
        self._say("STATUS", line if len(line) <= _LONGEST_STATUS else line[: _LONGEST_STATUS - 1] + "…")

    def do_what_is_due(self, *, is_well: bool) -> None:
        """Send unsent messages, and the watchdog's message if it is due and the server is well."""
        now = time.monotonic()
        if self._again_at <= now:
            self._send_unsent()
        if self._alive_at <= now and self.watchdog_s is not None:
            self._alive_at = now + (self.watchdog_s / 2 if is_well else min(_UNWELL_S, self.watchdog_s / 2))
            if is_well:
                self._send("WATCHDOG=1")

    def due_at(self) -> float:
        """Return when, by the monotonic clock, `do_what_is_due` must be called."""
        return min(self._again_at, self._alive_at)

    def close(self) -> None:
        """Try to send unsent messages, and close the socket."""
        self._send_unsent()
        if self._socket is not None:
            self._socket.close()
        self._socket, self._again_at, self._alive_at = None, _NEVER, _NEVER

    def _say(self, variable: str, value: str) -> None:
        if self._socket is not None:
            self._unsent.pop(variable, None)
            self._unsent[variable] = value  # the last one: after RELOADING=1, READY=1 must follow
            self._send_unsent()

    def _send_unsent(self) -> None:
        self._again_at = _NEVER
        if self._unsent and self._send("\n".join(f"{name}={value}" for name, value in self._unsent.items())):
            self._unsent.clear()
        elif self._unsent:
            self._again_at = time.monotonic() + _AGAIN_S

    def _send(self, message: str) -> bool:
        """Send a datagram; return False if the socket is full."""
        if self._socket is None or self._address is None:
            return True
        try:
            self._socket.sendto(message.encode(), self._address)
        except (BlockingIOError, InterruptedError):
            return False
        except (OSError, ValueError) as error:  # no such socket, no listener, or an invalid path
            log.debug("the service manager cannot be notified", extra={"reason": str(error)})
        return True


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return the timeout in `WATCHDOG_USEC` if it is for this process."""
    pid = environment.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return None
    with contextlib.suppress(ValueError, OverflowError):
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
        if microseconds > 0:
            return microseconds / 1e6
    return None
