"""Share the event loop's time between the connections that have received data.

A client can send thousands of requests at once, and the event loop calls a connection with all of them. So a connection
continues for about a millisecond, and then waits in a queue. The queue runs for two milliseconds per iteration of the
event loop: accepting connections, first requests and requests that arrive alone do not wait for pipelined ones.
"""

import asyncio
import time
from collections import deque
from typing import Protocol

_TURN_S = 0.001
"""Time after which a connection waits for its next turn."""
_FIRST_S = 0.0002
"""The same for a new connection: enough for one request."""
_QUEUE_S = 0.002
"""Time of the queue per iteration of the event loop."""
_QUEUE_TURNS = 16
"""Maximum number of pipelined connections that continue per iteration: after its turn, a connection may read again."""
_AT_ONCE_S = 0.005
"""Time per iteration for data that is handled at once, before the queue takes the rest. Requests that are handled in
one iteration join one batch."""


class Waiting(Protocol):
    """A connection that waits for its turn."""

    @property
    def is_first(self) -> bool:
        """Whether the connection has sent no whole request yet."""
        ...

    def advance(self, until: float) -> None:
        """Handle received data until a time of the monotonic clock, or until more input is needed."""
        ...

    def join_queue(self) -> None:
        """Record that the connection is in the queue."""
        ...

    def take_turn(self, until: float) -> None:
        """Leave the queue, and advance if the connection is still open."""
        ...


class Turns:
    """The queue of a listener's connections."""

    def __init__(self) -> None:
        self._arrived: deque[Waiting] = deque()
        self._rest: deque[Waiting] = deque()
        self._at_once_s = 0.0
        self._is_scheduled = False

    def arrive(self, connection: Waiting) -> None:
        """Let a connection without pending input handle the data that it received, at once or soon."""
        self._schedule()  # the next iteration begins with `_run`
        is_first = connection.is_first
        if is_first or (self._at_once_s < _AT_ONCE_S and not self._arrived):
            start = time.monotonic()
            connection.advance(start + (_FIRST_S if is_first else _TURN_S))
            self._at_once_s += time.monotonic() - start
        else:
            connection.join_queue()
            self._arrived.append(connection)

    def wait(self, connection: Waiting) -> None:
        """Let a connection continue after all others that wait."""
        connection.join_queue()
        self._rest.append(connection)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        """Give turns for a few milliseconds: first to arrived data, but at least one to the rest."""
        self._is_scheduled = False
        self._at_once_s = 0.0
        now = time.monotonic()
        end = now + _QUEUE_S
        try:
            while self._arrived and now < end:
                self._arrived.popleft().take_turn(now + _TURN_S)
                now = time.monotonic()
            for _ in range(min(len(self._rest), _QUEUE_TURNS)):
                self._rest.popleft().take_turn(now + _TURN_S)
                now = time.monotonic()
                if now >= end:
                    break
        finally:
            if self._arrived or self._rest:
                self._schedule()
