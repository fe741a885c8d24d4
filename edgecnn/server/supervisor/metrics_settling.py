"""The counters of several workers balance also where one of them has crashed."""

import json
from collections import Counter
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict


def settle(folder: Path, pid: int) -> None:
    """Count as failed what a worker that has crashed had not answered, so that the counters of all workers balance.

    Args:
        folder: in which workers count together.
        pid: of the worker; nobody writes to its files any more.
    """
    file = folder / f"counter_{pid}.db"
    if not file.exists():
        return
    counts = MmapedDict(str(file))  # type: ignore[no-untyped-call]
    try:
        missing: Counter[str] = Counter()
        failed: dict[str, tuple[str, float]] = {}
        for key, value, _ in list(counts.read_all_values()):  # type: ignore[no-untyped-call]
            name, _, labels, _ = json.loads(key)
            if name == "edgecnn_requests_received":
                missing[labels["model"]] += value
            elif name.startswith("edgecnn_requests_"):
                missing[labels["model"]] -= value
            if labels.get("reason") == "engine":
                failed[labels["model"]] = key, value
        for model, (key, value) in failed.items():
            counts.write_value(key, value + missing[model], 0.0)  # type: ignore[no-untyped-call]
    finally:
        counts.close()  # type: ignore[no-untyped-call]
