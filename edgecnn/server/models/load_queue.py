"""Passes the clients' orders to load and unload models to the repository's thread.

Loading takes seconds, and orders run one at a time. The queue is bounded; equal orders are merged, and an order is
dropped when its last client disconnects.
"""

import functools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from edgecnn.protocol.refusal import Refusal

MOST_WAITING = 64

Action = Literal["load", "unload"]
Done = Callable[[Refusal | None], None]
"""Called in the event loop's thread at the end of an order, with the error, or None if it succeeded."""


@dataclass(eq=False)
class LoadOrder:
    """An order of one or several clients.

    Attributes:
        waiting: callbacks of the clients; used in the event loop's thread only.
    """

    action: Action
    name: str
    waiting: list[Done] = field(default_factory=list)

    def end(self, refusal: Refusal | None) -> None:
        """Report the result, once; in the event loop's thread."""
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(refusal)


class LoadQueue:
    """The waiting orders, and the current one."""

    def __init__(self) -> None:
        self._waiting: deque[LoadOrder] = deque()
        self._current: LoadOrder | None = None
        self._changed = threading.Condition()

    def put(self, action: Action, name: str, done: Done) -> Callable[[], None]:
        """Add an order; `done` is called once with the result, also if the server ends.

        All methods except `take` are called in the event loop's thread.

        Returns:
            A function to call if the client disconnects. An order without clients is dropped if it has not started.

        Raises:
            Refusal: too many orders wait.
        """
        with self._changed:
            # A later order for the same model takes precedence.
            last = next((order for order in reversed(self._waiting) if order.name == name), None)
            if last is None or last.action != action:
                if len(self._waiting) >= MOST_WAITING:
                    raise Refusal("busy", f"{MOST_WAITING} orders are already queued: try again later")
                last = LoadOrder(action, name)
                self._waiting.append(last)
                self._changed.notify()
            last.waiting.append(done)
        return functools.partial(self._leave, last, done)

    def take(self, timeout_s: float | None) -> LoadOrder | None:
        """Start the next order and return it, or None after the timeout; called in one thread only."""
        with self._changed:
            self._current = None
            self._changed.wait_for(lambda: self._waiting, timeout_s)
            self._current = self._waiting.popleft() if self._waiting else None
            return self._current

    def end(self, refusal: Refusal) -> None:
        """End all orders with an error."""
        with self._changed:
            orders = [*self._waiting, *([self._current] if self._current else [])]
            self._waiting.clear()
        for order in orders:
            order.end(refusal)

    def _leave(self, order: LoadOrder, done: Done) -> None:
        with self._changed:
            if done in order.waiting:
                order.waiting.remove(done)
            if not order.waiting and order in self._waiting:
                self._waiting.remove(order)
