"""Engines for tests, without a process or a graph."""

import asyncio

import numpy as np

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineError
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.runtime.verification.replay import SelfTestResult
from edgecnn.server.models.batching import Job, Outcome
from edgecnn.server.models.loading import Loaded
from edgecnn.server.models.model import Model

KNOWN = np.zeros((1, 32, 32, 1), np.uint8)


class Fragile:
    """An engine with memory for two images per run; `is_dead` makes every run fail."""

    info = SessionInfo("fragile", "1", "cpu", "fp32", 1)
    instances = 1

    def __init__(self) -> None:
        self.is_dead = False
        self.is_closed = False

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        if self.is_dead or self.is_closed or len(images) > 2:
            raise EngineError("no memory")
        return np.zeros((len(images), 10), np.float32)

    def close(self) -> None:
        self.is_closed = True


def loaded(bundle: Bundle, engine: Fragile, *, run_ms: float = 10.0) -> Loaded:
    shown = SelfTestResult(images=1, decided=1, max_error=0.0, tolerance=1.0, encoded=0, failures=())
    return Loaded(bundle, engine, bundle.proof(), shown, KNOWN, run_ms)


async def infer(model: Model, count: int) -> Outcome:
    """Return the outcome of a job with `count` images."""
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    model.version.batcher.submit(Job(np.zeros((count, 32, 32, 1), np.uint8), done.set_result, is_gone=lambda: False))
    outcome = await asyncio.wait_for(done, 10)
    await asyncio.sleep(0)  # handle other callbacks of the engine's thread first
    return outcome
