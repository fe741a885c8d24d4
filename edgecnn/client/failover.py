"""Sends a request to one of several servers: in turns, with back-off and retries, within one deadline.

A request may reach several servers, or one server twice: metadata and inference requests do not change its state.
An error that another server may not have is raised only if every server has one.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgecnn import __version__
from edgecnn.client.connections import Connections, Request, tls_context
from edgecnn.client.options import Options, Retries
from edgecnn.client.responses import NoResponse, OneServersError, ServerResponse
from edgecnn.errors import EdgecnnError, ServerUnavailable, UsageError

T = TypeVar("T")

_LEAST_S = 0.001
_MAX_REASONS = 4
"""Maximum number of servers whose failure an error describes."""


@dataclass(eq=False)
class Server:
    """The state of one server, shared by all threads.

    Attributes:
        url: without a slash at its end.
        failures: in a row.
        failed_at: when the last failure was recorded.
        available_at: when its back-off ends.
        reason: of the last failure, for messages.
    """

    url: str
    failures: int = 0
    failed_at: float = float("-inf")
    available_at: float = float("-inf")
    reason: str = ""


class Rotation:
    """Chooses servers in turns. Thread-safe; all times are seconds of one monotonic clock."""

    def __init__(self, urls: Sequence[str], retries: Retries) -> None:
        self.servers = tuple(map(Server, urls))
        self._retries = retries
        self._changed = threading.Condition()
        self._turn = 0

    def choose(self, now: float, *, exclude: Collection[Server] = ()) -> tuple[Server, float]:
        """Return the next server that is not in `exclude`, and how long to wait before a request may be sent to it.

        After a back-off, one request goes to the server first. For other requests the back-off continues until that
        request is answered, or as long as after another failure.
        """
        with self._changed:
            turns = self.servers[self._turn :] + self.servers[: self._turn]
            # The first in turn that is not in back-off, or else the one whose back-off ends first.
            left = [server for server in turns if server not in exclude]
            server = min(left, key=lambda each: max(each.available_at, now))
            wait_s = max(server.available_at - now, 0.0)
            if not wait_s:
                self._turn = self.servers.index(server) + 1
                if server.failures:
                    server.available_at = now + self._retries.longest_after(server.failures)
            return server, wait_s

    def wait(self, deadline: float, *, exclude: Collection[Server] = ()) -> Server | None:
        """Wait for the next server; return None if all are unavailable until the deadline."""
        with self._changed:
            while (now := time.monotonic()) < deadline:
                server, wait_s = self.choose(now, exclude=exclude)
                if not wait_s:
                    return server
                if now + wait_s >= deadline:
                    return None
                self._changed.wait(wait_s)  # ends early when a server has answered another thread
        return None

    def failed(self, server: Server, reason: str, *, sent_at: float, now: float, retry_after_s: float = 0.0) -> None:
        """Start or extend a server's back-off; requests that were sent before the last failure do not count again."""
        with self._changed:
            if sent_at >= server.failed_at:
                server.failures += 1
                server.failed_at = now
            server.reason = reason
            # A hanging server would otherwise get a request again at once, and hold it for as long again.
            lost_s = min(now - sent_at, self._retries.longest_retry_after_s) if len(self.servers) > 1 else 0.0
            back_off_s = random.uniform(0, self._retries.longest_after(server.failures))  # noqa: S311
            server.available_at = now + max(retry_after_s, lost_s) + back_off_s

    def answered(self, server: Server, *, sent_at: float) -> None:
        """End a server's back-off, unless the request was sent before its last failure."""
        with self._changed:
            if server.failures and sent_at >= server.failed_at:
                server.failures = 0
                server.available_at = float("-inf")
                self._changed.notify_all()

    def last_reason(self) -> str:
        """Return the reason of the latest failure."""
        return max(self.servers, key=lambda server: server.failed_at).reason


@dataclass(frozen=True)
class _ProcessState:
    """State that a forked process must not share with its parent; `process` is the id of its process."""

    process: int
    rotation: Rotation
    connections: Connections


class Failover:
    """Sends requests to the servers of a client. Thread-safe and fork-safe."""

    def __init__(self, options: Options) -> None:
        """Open no connection yet; raises `UsageError` if the file of authorities cannot be read."""
        self._options = options
        self._timeout_s = float(options.timeout_s)
        self._context = tls_context(options.ca) if options.uses_tls else None
        self._headers = {"User-Agent": f"edgecnn/{__version__}"}
        if options.api_key is not None:
            self._headers["Authorization"] = f"Bearer {options.api_key}"
        self._is_closed = False
        self._inherited: list[_ProcessState] = []
        self._state = self._new_state()

    def send(self, request: Request, read: Callable[[ServerResponse], T]) -> T:
        """Send a request until a server answers with success, and return what `read` makes of the response.

        Raises:
            ServerError: the request is invalid, or every server answered with an error, of which this is the first.
            ServerUnavailable: no server answered in time.
        """
        state = self._current()
        servers = state.rotation.servers
        began = time.monotonic()
        deadline = began + self._timeout_s
        unusable: set[Server] = set()
        reasons: dict[Server, str] = {}
        errors: dict[Server, OneServersError] = {}
        attempts = 0
        while attempts < self._options.retries.attempts and len(unusable) < len(servers):
            server = state.rotation.wait(deadline, exclude=unusable)
            if server is None:
                break
            attempts += 1
            # One server gets at most half of the remaining time, so that a hanging one leaves time for another.
            timeout_s = max((deadline - time.monotonic()) / min(len(servers) - len(unusable), 2), _LEAST_S)
            try:
                return self._attempt(state, server, request, read, timeout_s)
            except NoResponse as failure:
                reasons[server] = str(failure)
                if failure.is_final:
                    unusable.add(server)
            except OneServersError as error:
                reasons[server], errors[server] = str(error), error
                unusable.add(server)
        if errors and len(errors) == len(reasons):
            raise next(iter(errors.values()))
        described = list(reasons.values()) or [state.rotation.last_reason()]
        raise self._unavailable(described, attempts, time.monotonic() - began)

    def send_to(self, url: str, request: Request, read: Callable[[ServerResponse], T]) -> T:
        """Send a request to one server, once, and return what `read` makes of the response.

        The result does not affect back-off.

        Raises:
            ServerError: the server answered with an error that is not temporary.
            ServerUnavailable: it did not answer in time, or its error is temporary.
        """
        try:
            timeout_s = self._timeout_s / len(self._options.urls)
            return read(self._current().connections.send(url, request, timeout_s=timeout_s).checked())
        except NoResponse as failure:
            raise ServerUnavailable(str(failure), urls=(url,), reason=str(failure)) from None

    def close(self) -> None:
        """Close idle connections; those in use are closed after their response."""
        self._is_closed = True
        if self._state.process == os.getpid():
            self._state.connections.close()

    def _attempt(
        self,
        state: _ProcessState,
        server: Server,
        request: Request,
        read: Callable[[ServerResponse], T],
        timeout_s: float,
    ) -> T:
        """Send a request to a server and read its response; start or end the server's back-off."""
        sent_at = time.monotonic()
        try:
            found = read(state.connections.send(server.url, request, timeout_s=timeout_s).checked())
        except NoResponse as failure:
            longest_s = min(self._options.retries.longest_retry_after_s, self._timeout_s / 2)
            state.rotation.failed(
                server,
                str(failure),
                sent_at=sent_at,
                now=time.monotonic(),
                retry_after_s=min(failure.retry_after_s, longest_s),
            )
            raise
        except EdgecnnError:  # it has answered
            state.rotation.answered(server, sent_at=sent_at)
            raise
        state.rotation.answered(server, sent_at=sent_at)
        return found

    def _new_state(self) -> _ProcessState:
        urls = self._options.urls
        connections = Connections(urls, headers=self._headers, context=self._context)
        return _ProcessState(os.getpid(), Rotation(urls, self._options.retries), connections)

    def _current(self) -> _ProcessState:
        """Return the state of this process. If two threads create it at once, either one works."""
        if self._is_closed:
            raise UsageError("this client is closed: create a new one")
        state = self._state
        if state.process != os.getpid():
            # Two processes on one connection would read each other's responses. The parent's connections are not freed,
            # since that may wait for a lock that a thread of the parent held at the fork.
            self._inherited.append(state)
            state = self._state = self._new_state()
        return state

    def _unavailable(self, reasons: Sequence[str], attempts: int, took_s: float) -> ServerUnavailable:
        """Return the error with the number of attempts and the reason of each server."""
        reason = "; ".join(reasons[:_MAX_REASONS])
        if len(reasons) > _MAX_REASONS:
            reason += f"; and {len(reasons) - _MAX_REASONS} more"
        urls = self._options.urls
        servers = "" if len(urls) == 1 else f" on {len(urls)} servers"
        times = f"{attempts} attempt{'' if attempts == 1 else 's'} in {took_s:.1f} s"
        if not attempts:
            times = f"{took_s:.1f} s without an attempt, since no back-off ends before the deadline"
        return ServerUnavailable(f"gave up{servers} after {times}: {reason}", urls=urls, reason=reasons[-1])
