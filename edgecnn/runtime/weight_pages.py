"""Opens graphs with their weights on huge pages, which makes networks with large dense layers faster."""

import contextlib
from pathlib import Path

import numpy as np

from edgecnn.errors import EngineError
from edgecnn.host.huge_pages import new_memory_on_huge_pages, why_no_huge_pages
from edgecnn.runtime.engines.engine import Engine, Session, SessionOptions, device_kind

LEAST_BYTES = 4 << 20
"""Size of the smallest graph. Processors keep the addresses of this many bytes or more on 4 KiB pages."""


def open_on_huge_pages(
    engine: Engine, model: Path | bytes, options: SessionOptions, *, size_bytes: int, image_shape: tuple[int, int, int]
) -> Session:
    """Open a graph, and move its weights to huge pages if it is large and runs on the CPU; see `Engine.open`.

    An engine that packs weights in the first run is run once.

    Args:
        engine: the engine.
        model: file of the graph, or its bytes.
        options: options of the session.
        size_bytes: size of the graph.
        image_shape: height, width and channels of the graph's input.
    """
    if size_bytes < LEAST_BYTES or device_kind(options.device) != "cpu" or why_no_huge_pages():
        return engine.open(model, options)
    with new_memory_on_huge_pages():
        session = engine.open(model, options)
        if engine.packs_in_first_run:
            with contextlib.suppress(EngineError):  # the caller's first run raises it
                session.run(np.zeros((1, *image_shape), np.uint8))
    return session
