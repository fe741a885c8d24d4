"""Many batches through one session: as many at once as it has room for, their logits in the order of the batches.

This is how throughput is had: an engine with one stream leaves cores idle between layers, and between calls.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from edgecnn.runtime.backend import Session, StreamingSession


def stream(session: Session, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the logits of batches.

    Args:
        session: where they run.
        batches: uint8 [N, H, W, C] each; drawn as room becomes free, in the caller's thread. They must not change
            before their logits have come.

    Yields:
        float32 [N, K] for each, in their order.

    Raises:
        EngineError: the engine failed, or a batch has another shape or type.
    """
    if isinstance(session, StreamingSession) and session.concurrency > 1:
        return session.stream(batches)
    if session.concurrency == 1:
        return map(session.run, batches)
    return _in_threads(session, batches)


def _in_threads(session: Session, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    waiting: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(session.concurrency, thread_name_prefix="edgecnn-stream") as pool:
        try:
            for images in batches:
                waiting.append(pool.submit(session.run, images))
                if len(waiting) > session.concurrency:  # one waits, so that no thread does
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
