"""Where an engine runs batches: in a thread of its own, or, where a run is over before a thread has woken, right here.

Handing a batch to a thread and its logits back takes a tenth of a millisecond, and both threads then take turns at
Python's lock. That is nothing beside a run of milliseconds, and several runs of a LeNet.
"""

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgecnn.protocol.refusal import Refusal

_LONGEST_IMAGE_MS, _LONGEST_BATCH_MS = 0.25, 8.0
"""Of what runs in the event loop's thread, which keeps its clients waiting for so long."""

Engine = Callable[[np.ndarray], np.ndarray]
"""Takes uint8 [N, H, W, C], returns float32 [N, K]."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a batch.

    Attributes:
        images: of all parts.
        started: by the monotonic clock.
        seconds: how long it took.
        results: for each part of the batch its logits, or why there are none.
    """

    images: int
    started: float
    seconds: float
    results: list[np.ndarray | Refusal]


class Instance(Protocol):
    """Runs one batch at a time.

    Attributes:
        started: of the run that is under way, by the monotonic clock; None where none is.
    """

    started: float | None

    def start(self, parts: Sequence[np.ndarray], finished: Callable[[Run], object]) -> None:
        """Run a batch.

        Args:
            parts: uint8 [N, H, W, C] each.
            finished: takes what came of it, in the event loop's thread, not before this returns.
        """
        ...

    def end(self) -> None:
        """Run nothing more, when what is under way is done."""
        ...


def is_short(run_ms: float, max_batch: int) -> bool:
    """Whether an engine that takes so long for one image may run in the event loop's thread."""
    return run_ms <= _LONGEST_IMAGE_MS and run_ms * max_batch <= _LONGEST_BATCH_MS


class Here:
    """Runs a batch in the event loop's thread."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self.started: float | None = None
        self._engine = engine
        self._loop = loop

    def start(self, parts: Sequence[np.ndarray], finished: Callable[[Run], object]) -> None:
        """See `Instance.start`; it runs when the answers of the run before are written."""
        self._loop.call_soon(self._run, parts, finished)

    def end(self) -> None:
        """See `Instance.end`."""

    def _run(self, parts: Sequence[np.ndarray], finished: Callable[[Run], object]) -> None:
        self.started = time.monotonic()
        try:
            run = _run(self._engine, parts)
        finally:
            self.started = None
        finished(run)


class InThread:
    """Runs batches in a thread of its own."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self.started: float | None = None
        self._engine = engine
        self._loop = loop
        self._batches: queue.SimpleQueue[tuple[Sequence[np.ndarray], Callable[[Run], object]] | None]
        self._batches = queue.SimpleQueue()
        # A daemon: an engine that hangs must not keep the process from ending.
        threading.Thread(target=self._work, name="edgecnn-instance", daemon=True).start()

    def start(self, parts: Sequence[np.ndarray], finished: Callable[[Run], object]) -> None:
        """See `Instance.start`."""
        self.started = time.monotonic()
        self._batches.put((parts, finished))

    def end(self) -> None:
        """See `Instance.end`."""
        self._batches.put(None)

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            parts, finished = batch
            run = _run(self._engine, parts)
            self.started = None
            try:
                self._loop.call_soon_threadsafe(finished, run)
            except RuntimeError:  # the loop has ended meanwhile
                return
            del batch, parts, finished, run  # images and answers, which may be large, while it waits for the next


def _run(engine: Engine, parts: Sequence[np.ndarray]) -> Run:
    started = time.monotonic()
    results = _results(engine, parts)
    return Run(sum(map(len, parts)), started, time.monotonic() - started, results)


def _results(engine: Engine, parts: Sequence[np.ndarray]) -> list[np.ndarray | Refusal]:
    """Run parts together; one by one where that fails, so that none fails for its neighbours' sake."""
    try:
        if len(parts) == 1:
            return [engine(parts[0])]
        logits = engine(np.concatenate(parts))
    except Exception as error:  # whatever an engine raises, the others go on
        if len(parts) == 1:
            return [_failure(error)]
        return [result for part in parts for result in _results(engine, [part])]
    ends = itertools.accumulate(map(len, parts))
    return [logits[end - len(part) : end] for part, end in zip(parts, ends, strict=True)]


def _failure(error: Exception) -> Refusal:
    """Say that the engine failed; why stands in the log, since its texts hold paths."""
    refusal = Refusal("engine", "the engine failed on this request; the server's log says why")
    refusal.__cause__ = error
    return refusal
