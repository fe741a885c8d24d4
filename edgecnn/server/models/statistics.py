"""Counts and times of one model for the statistics extension, with the names of Triton's `extension_statistics.md`.

`compute_output` takes no time, since the run includes it. It is counted, as is the input of a batch: perf_analyzer
divides the sum of the three times by one of their counts, and fails if the counts differ.
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any


@dataclass
class _Sum:
    """Number and total time of events."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds

    def plain(self) -> dict[str, int]:
        return {"count": self.count, "ns": round(self.seconds * 1e9)}


class Statistics:
    """Counts and times of the requests to one version of a model since it was loaded in this process."""

    def __init__(self) -> None:
        self._success, self._fail = _Sum(), _Sum()
        self._queue, self._input, self._infer = _Sum(), _Sum(), _Sum()
        self._images = 0
        self._runs: Counter[int] = Counter()
        self._run_seconds: defaultdict[int, float] = defaultdict(float)
        self._last_s = 0.0  # Unix time; the only value that a clock change affects

    def succeeded(self, images: int, *, preprocess_s: float, queued_s: float, inference_s: float) -> None:
        """Add a request with a result."""
        self._success.add(preprocess_s + queued_s + inference_s)
        self._input.add(preprocess_s)
        self._queue.add(queued_s)
        self._infer.add(inference_s)
        self._images += images

    def failed(self, seconds: float) -> None:
        """Add a request with an error."""
        self._fail.add(seconds)

    def ran(self, images: int, seconds: float) -> None:
        """Add a run of the engine."""
        self._runs[images] += 1
        self._run_seconds[images] += seconds
        self._last_s = time.time()

    def plain(self, name: str, version: int | None) -> dict[str, Any]:
        """Return the entry of a model in `model_stats`."""
        return {
            "name": name,
            "version": "" if version is None else str(version),
            "last_inference": round(self._last_s * 1000),
            "inference_count": self._images,
            "execution_count": sum(self._runs.values()),
            "inference_stats": {
                "success": self._success.plain(),
                "fail": self._fail.plain(),
                "queue": self._queue.plain(),
                "compute_input": self._input.plain(),
                "compute_infer": self._infer.plain(),
                "compute_output": _no_time(self._infer.count),
                "cache_hit": _no_time(0),
                "cache_miss": _no_time(0),
            },
            "batch_stats": [self._batch(images) for images in sorted(self._runs)],
        }

    def _batch(self, images: int) -> dict[str, Any]:
        count = self._runs[images]
        took = {"count": count, "ns": round(self._run_seconds[images] * 1e9)}
        none = _no_time(count)
        return {"batch_size": images, "compute_input": none, "compute_infer": took, "compute_output": none}


def _no_time(count: int) -> dict[str, int]:
    return {"count": count, "ns": 0}
