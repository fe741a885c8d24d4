"""Measures this machine's read bandwidth: the most bytes per second that threads read from memory.

It is the limit of layers that use each weight once per run, as dense layers do: no run takes less time than reading the
weights (Williams, Waterman and Patterson, Roofline, Communications of the ACM 52(4), 2009). NumPy's matrix-vector
product reads several rows at once, which reaches more than a sum of all numbers.
`python -m edgecnn.host.bandwidth QUESTION` measures it in a separate process, whose BLAS has one thread.
"""

import itertools
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecnn.files import schema
from edgecnn.host.child_call import ask_child
from edgecnn.host.huge_pages import new_memory_on_huge_pages

if TYPE_CHECKING:
    import numpy as np

LEAST_BYTES = 4 << 20
"""Fewer bytes stay in the caches of one core, where they are read much faster than from memory."""
_MOST_BYTES = 256 << 20
_ROW = 4096
"""Numbers of a row. The vector, 16 KiB, stays in the first cache."""
_BLOCK_BYTES = 4 << 20
"""Bytes of one product, so that all threads end a window at about the same time."""
_WINDOW_S, _WINDOWS = 0.05, 6
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Reads:
    """What to measure.

    Attributes:
        threads: number of threads, of which each reads its own part.
        size_bytes: bytes that the threads read again and again. Of a network: its weights, because a part of them may
            stay in the cache.
    """

    threads: int
    size_bytes: int


@dataclass(frozen=True)
class Bandwidth:
    """The read bandwidth in bytes per second."""

    bytes_per_s: float


def read_bandwidth_apart(reads: Reads) -> float | None:
    """Measure the read bandwidth in a child process, which takes about half a second.

    Returns:
        Bytes per second, or None if the process failed, for example for lack of memory.
    """
    ended = ask_child("edgecnn.host.bandwidth", reads, _TIMEOUT_S)
    try:
        return None if ended is None or ended.code else schema.parse(Bandwidth, ended.stdout).bytes_per_s
    except schema.SchemaError:
        return None


def read_bandwidth(reads: Reads) -> Bandwidth:
    """Measure the read bandwidth on huge pages, if weights get them too.

    The result is the best of several short windows, because disturbances only make a window slower.
    """
    import numpy as np

    rows = _rows(min(max(reads.size_bytes, LEAST_BYTES), _MOST_BYTES))
    parts = [np.array_split(part, -(-part.nbytes // _BLOCK_BYTES)) for part in np.array_split(rows, reads.threads)]
    with ThreadPoolExecutor(reads.threads) as pool:
        return Bandwidth(max(sum(pool.map(_bytes_per_s, parts)) for _ in range(_WINDOWS)))


def _rows(size_bytes: int) -> "np.ndarray":
    """Return ones as float32 [N, `_ROW`]."""
    import numpy as np

    with new_memory_on_huge_pages():
        return np.ones((size_bytes // (4 * _ROW), _ROW), np.float32)


def _bytes_per_s(blocks: Sequence["np.ndarray"]) -> float:
    """Read blocks float32 [N, `_ROW`] in turn for a short time."""
    import numpy as np

    vector = np.ones(_ROW, np.float32)
    size = 0
    begin = time.perf_counter()
    for block in itertools.cycle(blocks):
        np.dot(block, vector)
        size += block.nbytes
        seconds = time.perf_counter() - begin
        if seconds > _WINDOW_S:
            break
    return size / seconds


def main() -> None:
    """Measure for the question on the command line, and print the result to stdout."""
    # The threads are our own. NumPy's libraries read these variables when they are loaded.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    print(schema.dump(read_bandwidth(schema.parse(Reads, sys.argv[1]))))  # noqa: T201  # the parent reads it


if __name__ == "__main__":
    main()
