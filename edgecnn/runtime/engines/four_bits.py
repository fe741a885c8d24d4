"""Finds out whether an engine runs linear layers with 4-bit weights on a device, by running a small graph.

In the graph, weights and inputs are at the ends of their ranges, so that a sum that saturates would show.
"""

from pathlib import Path

import numpy as np

from edgecnn.errors import EngineError
from edgecnn.runtime.engines.engine import Engine, SessionOptions

GRAPH = Path(__file__).with_name("four_bits.onnx")
"""Written by scripts/four_bits_graph.py. Its outputs for an image of 255 are 1, then -1; for one of 0 the reverse."""
SHAPE = (4, 4, 64)
"""Shape of one image."""
_TOLERANCE = 0.01


def refusal_of_four_bits(engine: Engine, options: SessionOptions) -> str | None:
    """Return why an engine does not run 4-bit linear layers with these options; None if it runs them exactly."""
    try:
        session = engine.open(GRAPH, options)
        try:
            return check_sums(session.run(extreme_images()))
        finally:
            session.close()
    except EngineError as error:
        return str(error)


def extreme_images() -> np.ndarray:
    """Return two images for `GRAPH` with the smallest and largest activations: one of 255, one of 0."""
    return np.stack([np.full(SHAPE, level, np.uint8) for level in (255, 0)])


def check_sums(logits: np.ndarray) -> str | None:
    """Return how the answers to `extreme_images`, float32 [2, K], differ from the exact ones; None if they do not."""
    expected = np.repeat([[1, -1], [-1, 1]], logits.shape[1] // 2, axis=1)
    wrong = np.abs(logits - expected).max()
    if wrong <= _TOLERANCE:
        return None
    return f"sums of 4-bit weights are wrong: expected 1 or -1, found an error of {wrong:.3g}"
