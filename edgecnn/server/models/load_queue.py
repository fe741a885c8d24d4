"""What clients have asked to be loaded or unloaded, from the event loop's thread to the one that loads.

Loading takes seconds, and one thing is done at a time. So an order waits, and what waits is bounded, is one with
others that ask for the same, and is dropped when nobody waits for it any more.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

from edgecnn.protocol.refusal import Refusal

MOST_WAITING = 64

Action = Literal["load", "unload"]
Done = Callable[[Refusal | None], None]
"""Takes what became of an order, in the event loop's thread; None where it was carried out."""


class LoadOrder:
    """What one client, or several, have asked for.

    Attributes:
        action: what to do.
        name: of the model.
        waits: who is told what became of it; touched in the event loop's thread only.
    """

    def __init__(self, action: Action, name: str) -> None:
        self.action = action
        self.name = name
        self.waits: list[Done] = []

    def end(self, refusal: Refusal | None) -> None:
        """Tell what became of it, once; in the event loop's thread."""
        waits, self.waits = self.waits, []
        for done in waits:
            done(refusal)


class LoadQueue:
    """LoadQueue that wait, and the one that is carried out."""

    def __init__(self) -> None:
        self._waiting: deque[LoadOrder] = deque()
        self._begun: LoadOrder | None = None
        self._has_come = threading.Condition()

    def put(self, action: Action, name: str, done: Done) -> Callable[[], None]:
        """Ask for something; in the event loop's thread, as all but `take`.

        Args:
            action: what to do.
            name: of the model.
            done: told once what became of it.

        Returns:
            What the client is forgotten with, should it leave; where nobody else waits, and the order has not begun,
            it is not carried out.

        Raises:
            Refusal: too many wait.
        """
        with self._has_come:
            # An order for the same model that has come since would have the last word.
            last = next((order for order in reversed(self._waiting) if order.name == name), None)
            if last is None or last.action != action:
                if len(self._waiting) >= MOST_WAITING:
                    raise Refusal("busy", f"{MOST_WAITING} orders wait already: try again later")
                last = LoadOrder(action, name)
                self._waiting.append(last)
                self._has_come.notify()
            order = last
            order.waits.append(done)
        return lambda: self._leave(order, done)

    def take(self, timeout_s: float | None) -> LoadOrder | None:
        """Return the next order, which begins by that, or None where none has come in time; in any one thread."""
        with self._has_come:
            self._begun = None
            self._has_come.wait_for(lambda: self._waiting, timeout_s)
            self._begun = self._waiting.popleft() if self._waiting else None
            return self._begun

    def end(self, refusal: Refusal) -> None:
        """Carry out nothing more, and tell everybody who waits why."""
        with self._has_come:
            orders = [*self._waiting, *([self._begun] if self._begun else [])]
            self._waiting.clear()
        for order in orders:
            order.end(refusal)

    def _leave(self, order: LoadOrder, done: Done) -> None:
        with self._has_come:
            if done in order.waits:
                order.waits.remove(done)
            if not order.waits and order in self._waiting:
                self._waiting.remove(order)
