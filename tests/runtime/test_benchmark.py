"""Latency is measured for every session, interleaved, and summed up by median and quartiles."""

import numpy as np

from edgecnn.bundle.store import Bundle
from edgecnn.runtime.backend import SessionInfo
from edgecnn.runtime.benchmark import measure_latency
from edgecnn.runtime.opening import open_session


class Recorder:
    """A session that writes down its turn."""

    concurrency = 1
    info = SessionInfo("fake", "0", "cpu", "fp32", 1)

    def __init__(self, name: str, log: list[str]) -> None:
        self._name, self._log = name, log

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        self._log.append(self._name)
        return np.zeros((len(images), 2), np.float32)

    def close(self) -> None:
        pass


def test_sessions_take_turns():
    log: list[str] = []
    found = measure_latency(
        {"a": Recorder("a", log), "b": Recorder("b", log)}, np.zeros((1, 2, 2, 1), np.uint8), rounds=2, runs=3
    )
    assert log == (["a"] * 6 + ["b"] * 6) * 2
    assert found["a"].runs == 6


def test_quartiles_stand_around_the_median(committed: Bundle):
    session = open_session(committed)
    latency = measure_latency({"x": session}, committed.probe().images[:1], rounds=2, runs=5)["x"]
    assert 0 < latency.lower_ms <= latency.median_ms <= latency.upper_ms
