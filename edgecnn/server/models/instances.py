"""Runs batches on an engine: in a separate thread, or, if a run is very short, in the event loop's thread.

Passing a batch to a thread and back takes 0.1 ms, and both threads compete for Python's lock. That is negligible for
runs of several milliseconds, but as long as several runs of a LeNet.
"""

import asyncio
import itertools
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from edgecnn.protocol.refusal import Refusal

_LONGEST_IMAGE_MS, _LONGEST_BATCH_MS = 0.25, 8.0
"""Limits of a run in the event loop's thread, which delays all other clients."""

Engine = Callable[[np.ndarray], np.ndarray]
"""Takes uint8 [N, H, W, C], returns float32 [N, K]."""


Finish = Callable[[float, float, list[np.ndarray | Refusal]], object]
"""Takes the start of a run by the monotonic clock, its seconds, and for each part its logits or the error."""


class Instance(ABC):
    """Runs one batch at a time.

    Attributes:
        started: start of the current run by the monotonic clock; None between runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.started: float | None = None
        self._loop = loop

    @abstractmethod
    def start(self, engine: Engine, parts: Sequence[np.ndarray], finished: Finish) -> None:
        """Run a batch of parts, uint8 [N, H, W, C] each, on an engine.

        `finished` takes the results in the event loop's thread, after this method has returned.
        """

    @abstractmethod
    def end(self) -> None:
        """Stop after the current run."""


def is_short(run_ms: float, max_batch: int) -> bool:
    """Return whether an engine with this time for one image may run in the event loop's thread."""
    return run_ms <= _LONGEST_IMAGE_MS and run_ms * max_batch <= _LONGEST_BATCH_MS


class InlineRunner(Instance):
    """Runs a batch in the event loop's thread."""

    def start(self, engine: Engine, parts: Sequence[np.ndarray], finished: Finish) -> None:
        """See `Instance.start`; the batch runs after the responses of the previous run are written."""
        self._loop.call_soon(self._run, engine, parts, finished)

    def end(self) -> None:
        """See `Instance.end`; there is no thread to stop."""

    def _run(self, engine: Engine, parts: Sequence[np.ndarray], finished: Finish) -> None:
        started = self.started = time.monotonic()
        try:
            results = _run(engine, parts)
        finally:
            self.started = None
        finished(started, time.monotonic() - started, results)


class ThreadRunner(Instance):
    """Runs batches in a separate thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._batches: queue.SimpleQueue[tuple[Engine, Sequence[np.ndarray], Finish] | None] = queue.SimpleQueue()
        # A daemon: an engine that hangs must not keep the process from ending.
        threading.Thread(target=self._work, name="edgecnn-instance", daemon=True).start()

    def start(self, engine: Engine, parts: Sequence[np.ndarray], finished: Finish) -> None:
        """See `Instance.start`."""
        self.started = time.monotonic()
        self._batches.put((engine, parts, finished))

    def end(self) -> None:
        """See `Instance.end`."""
        self._batches.put(None)

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            engine, parts, finished = batch
            started = time.monotonic()
            results = _run(engine, parts)
            self.started = None
            try:
                self._loop.call_soon_threadsafe(finished, started, time.monotonic() - started, results)
            except RuntimeError:  # the loop has ended
                return
            del batch, parts, finished, results  # may be large; the thread now waits for the next batch


Dispatch = Callable[[bool], object]
"""Starts runs of a queue while an instance is idle and a job waits; with True, the queue may leave its turn."""


class Instances:
    """The instances of a version, which its queues share. All instances together use the cores that it may use.

    Attributes:
        idle: the instances without a run.
    """

    def __init__(self, instances: Sequence[Instance]) -> None:
        self._all = tuple(instances)
        self.idle = list(instances)
        self._queues: list[Dispatch] = []

    def add_queue(self, dispatch: Dispatch) -> None:
        """Add a queue."""
        self._queues.append(dispatch)

    def give_back(self, instance: Instance, dispatch: Dispatch) -> None:
        """Let an instance be used again after a run of the queue with this `dispatch`, which now comes last.

        So queues with waiting jobs take turns. A queue may leave its turn to the others, but no instance stays idle for
        that.
        """
        self.idle.append(instance)
        self._queues.remove(dispatch)
        self._queues.append(dispatch)
        for may_leave in (True, False):
            for each in self._queues:
                if self.idle:
                    each(may_leave)

    def are_idle(self) -> bool:
        """Return whether there is no run."""
        return len(self.idle) == len(self._all)

    def longest_run_s(self) -> float:
        """Return how long the oldest current run has taken so far, or 0. May be called from any thread."""
        starts = [instance.started for instance in self._all]
        return max((time.monotonic() - start for start in starts if start is not None), default=0.0)

    def end(self) -> None:
        """Stop all instances after their current runs."""
        for instance in self._all:
            instance.end()


def _run(engine: Engine, parts: Sequence[np.ndarray]) -> list[np.ndarray | Refusal]:
    """Run all parts together; if that fails, run them one by one, so that only the faulty part fails."""
    try:
        if len(parts) == 1:
            return [engine(parts[0])]
        logits = engine(np.concatenate(parts))
    except Exception as error:  # an engine may raise anything
        if len(parts) == 1:
            return [_failure(error)]
        return [result for part in parts for result in _run(engine, [part])]
    ends = itertools.accumulate(map(len, parts))
    return [logits[end - len(part) : end] for part, end in zip(parts, ends, strict=True)]


def _failure(error: Exception) -> Refusal:
    """Return the refusal after an engine error; the cause is only logged, since it may contain paths."""
    refusal = Refusal("engine", "the engine failed on this request: see the server's log")
    refusal.__cause__ = error
    return refusal
