"""What the machine itself can do at this moment: exponentials in NumPy on one core, timed as any candidate is.

No engine takes part in it, so that an engine's upgrade does not change it; a busy neighbour or a lower clock does. One
core, because two that wait for each other take twenty times as long where one of them is not free.
"""

import time

import numpy as np

from edgecnn.tuning.measuring.turn import Clock, Turn

_COUNT = 65_536  # 256 KB: they stay in the cache


class Yardstick:
    """A `Runner` that computes 65,536 exponentials."""

    def __init__(self, *, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._numbers = np.random.default_rng(0).random(_COUNT, np.float32)
        self._result = np.empty_like(self._numbers)

    def turn(self, seconds: float) -> Turn:
        """See `Runner`."""
        clock = self._clock
        times: list[float] = []
        begin = clock()
        while not times or clock() - begin < seconds:
            start = clock()
            np.exp(self._numbers, out=self._result)
            times.append((clock() - start) * 1e3)
        return Turn(tuple(times), len(times), clock() - begin)
