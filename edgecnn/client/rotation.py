"""Which of several servers is asked next: in turns, but for those that rest after they have failed.

It opens no connection.
"""

import random
import threading
import time
from collections.abc import Collection, Sequence

from edgecnn.client.options import Retries


class Server:
    """One server, and what its last answers have shown; all threads share it.

    Attributes:
        url: without a slash at its end.
        failures: in a row.
        failed_at: when the last of them was noted.
        rests_until: nothing is asked of it before.
        reason: of the last failure, for people.
        lacks: paths at which it has nothing, each until when it is not asked for it where another can be.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.failures = 0
        self.failed_at = float("-inf")
        self.rests_until = float("-inf")
        self.reason = ""
        self.lacks: dict[str, float] = {}


class Rotation:
    """Servers in turns. Any number of threads may use it; times are those of one monotonic clock, in seconds."""

    def __init__(self, urls: Sequence[str], retries: Retries) -> None:
        self.servers = tuple(map(Server, urls))
        self._retries = retries
        self._changed = threading.Condition()
        self._turn = 0

    def choose(self, now: float, *, without: Collection[Server] = ()) -> tuple[Server, float]:
        """Return the server whose turn it is, and how long to wait before it may be asked; 0 means now.

        A server that has failed is first tried by one request: for the others it goes on resting until that one has
        its answer, or for as long as after another failure.

        Args:
            now: the time.
            without: servers that are of no use to the request; at least one must be left.
        """
        with self._changed:
            count = len(self.servers)
            turns = [self.servers[(self._turn + step) % count] for step in range(count)]
            left = [server for server in turns if server not in without]
            # The first in turn among those that do not rest, else the one that rests least.
            server = min(left, key=lambda each: max(each.rests_until, now))
            wait_s = max(server.rests_until - now, 0.0)
            if not wait_s:
                self._turn = self.servers.index(server) + 1
                if server.failures:
                    server.rests_until = now + self._retries.longest_after(server.failures)
            return server, wait_s

    def next(self, deadline: float, *, without: Collection[Server] = ()) -> Server | None:
        """Return the next server as soon as it may be asked; None where that is not before the deadline.

        Args:
            deadline: on the clock `time.monotonic`.
            without: as for `choose`.
        """
        with self._changed:
            while (now := time.monotonic()) < deadline:
                server, wait_s = self.choose(now, without=without)
                if not wait_s:
                    return server
                if now + wait_s >= deadline:
                    return None
                self._changed.wait(wait_s)  # no longer than until one that rested has answered somebody
        return None

    def failed(self, server: Server, reason: str, *, began: float, now: float, retry_after_s: float = 0.0) -> None:
        """Let a server rest.

        Args:
            server: that has failed.
            reason: why, for people.
            began: when the request did: what began before the last failure was noted tells nothing new.
            now: the time.
            retry_after_s: for how long the server wants to be left alone.
        """
        with self._changed:
            if began >= server.failed_at:
                server.failures += 1
                server.failed_at = now
            server.reason = reason
            rest_s = retry_after_s + random.uniform(0, self._retries.longest_after(server.failures))  # noqa: S311
            server.rests_until = now + rest_s

    def lacks(self, server: Server, path: str, *, now: float) -> None:
        """Take note that a server has nothing at a path, such as a model that others serve; it may come later."""
        with self._changed:
            noted = {path: until for path, until in server.lacks.items() if until > now}
            server.lacks = noted | {path: now + self._retries.longest_rest_s}

    def lacking(self, path: str, *, now: float) -> set[Server]:
        """Return the servers that lately had nothing at a path; none where that is all of them."""
        found = {server for server in self.servers if server.lacks.get(path, now) > now}
        return found if len(found) < len(self.servers) else set()

    def last_reason(self) -> str:
        """Return why a server failed that rests now: the one that failed last."""
        return max(self.servers, key=lambda server: server.failed_at).reason

    def answered(self, server: Server, *, began: float) -> None:
        """Ask a server again without a rest, after a request that began later than its last failure was noted."""
        with self._changed:
            if server.failures and began >= server.failed_at:
                server.failures = 0
                server.rests_until = float("-inf")
                self._changed.notify_all()
