"""Many batches through one session: as many at once as it has room for, their logits in the order of the batches.

This is how throughput is had: an engine with one stream leaves cores idle between layers, and between calls.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from edgecnn.runtime.engines.backend import Session, StreamingSession

Item = TypeVar("Item")
Result = TypeVar("Result")


def stream(session: Session, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the logits of batches, float32 [N, K] each, in their order.

    Batches, uint8 [N, H, W, C] each, are taken in the caller's thread as the session becomes free. They must not change
    before their logits are yielded.

    Raises:
        EngineError: the engine failed, or a batch has another shape or type.
    """
    if isinstance(session, StreamingSession) and session.concurrency > 1:
        return session.stream(batches)
    if session.concurrency == 1:
        return map(session.run, batches)
    return in_order(session.run, batches, threads=session.concurrency, ahead=session.concurrency)


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int
) -> Iterator[Result]:
    """Call a function on items in threads, and yield its results in the order of the items.

    Items are taken in the caller's thread, `ahead` of them before the first result is yielded.
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
