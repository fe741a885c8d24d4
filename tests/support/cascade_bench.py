"""The queues of a cascade with two engines that tests block and unblock."""

import asyncio

import numpy as np
import pytest
from batching_bench import Bench, Engine

from edgecnn.bundle.manifest import SOFTMAX
from edgecnn.errors import EngineError
from edgecnn.runtime.cascade import CascadeRule
from edgecnn.server.models.cascade_batching import CascadeBatcher, StageEngine
from edgecnn.server.models.instances import Instances, ThreadRunner

THRESHOLD = 10
"""An image whose first pixel is below it runs again."""


class Graph(Engine):
    """Returns two logits for each image: its first pixel plus a number, and 0. The first one is its margin.

    Attributes:
        refused: value of a first pixel on which the graph fails.
        order: where it adds its name after each run.
    """

    def __init__(self, name: str, added: int, order: list[str]) -> None:
        super().__init__()
        self._name, self._added = name, added
        self.order = order
        self.refused: int | None = None

    def run(self, images: np.ndarray) -> np.ndarray:
        first = super().run(images)
        self.order.append(self._name)
        if self.refused in first:
            raise EngineError(f"{self.refused} is refused")
        return np.hstack([first + self._added, np.zeros_like(first)])


class CascadeBench(Bench):
    """The queues of a cascade, whose accurate graph adds 1000. `engine` is its fast graph."""

    def __init__(
        self, *, instances: int = 1, max_batch: int = 8, accurate_batch: int = 8, max_waiting: int = 100
    ) -> None:
        super().__init__(instances=0)
        self.order: list[str] = []
        self.engine, self.accurate = Graph("fast", 0, self.order), Graph("accurate", 1000, self.order)
        self.cascade = self.batcher = CascadeBatcher(  # type: ignore[assignment]
            self.loop,
            Instances([ThreadRunner(self.loop) for _ in range(instances)]),
            StageEngine(self.engine.run, max_batch),
            StageEngine(self.accurate.run, accurate_batch),
            rule=CascadeRule(THRESHOLD, SOFTMAX),
            max_waiting=max_waiting,
            max_delay_s=0.0,
            on_run=self.ran,
        )

    async def accurate_entered(self) -> None:
        """Wait until a run of the accurate graph starts."""
        for _ in range(1000):
            if self.accurate.entered.acquire(blocking=False):
                return
            await asyncio.sleep(0.01)
        pytest.fail("no run of the accurate graph has started")
