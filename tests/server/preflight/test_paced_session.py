"""Tests of sessions with pauses."""

import numpy as np
from engines import KNOWN, Fragile

from edgecnn.server.preflight.paced_session import PacedSession


class Counting(Fragile):
    """An engine that returns the first pixel of each image as all its logits, and notes the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        self.batches.append(len(images))
        return super().run(images) + images[:, :1, 0, 0]


def test_runs_image_by_image():
    engine = Counting()
    session = PacedSession(engine)
    images = np.concatenate([KNOWN + value for value in range(5)]).astype(np.uint8)
    out = np.empty((5, 10), np.float32)
    assert session.run(images, out=out) is out
    assert out[:, 3].tolist() == [0, 1, 2, 3, 4]
    assert engine.batches == [1] * 5
