"""Runs many batches through one session at once, and returns the logits in order.

This increases throughput: with a single stream an engine leaves cores idle between layers and between calls.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from edgecnn.runtime.engines.engine import Session, StreamingSession

Item = TypeVar("Item")
Result = TypeVar("Result")


def stream(session: Session, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the logits of batches, float32 [N, K] each, in order.

    Batches, uint8 [N, H, W, C] each, are read in the caller's thread as the session becomes free. Do not change a batch
    before its logits are yielded.

    Raises:
        EngineError: the engine failed, or a batch has another shape or dtype.
    """
    if isinstance(session, StreamingSession) and session.instances > 1:
        return session.stream(batches)
    if session.instances == 1:
        return map(session.run, batches)
    return in_order(session.run, batches, threads=session.instances, ahead=session.instances)


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int
) -> Iterator[Result]:
    """Call a function on items in threads, and yield the results in the order of the items.

    Items are read in the caller's thread, `ahead` of them before the first result is yielded.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="edgecnn") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
