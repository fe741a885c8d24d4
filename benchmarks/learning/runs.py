"""Results of single trainings, kept in `build/` so that an interrupted run resumes."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.common.results import BUILD
from edgecnn.bundle.manifest import utc_now
from edgecnn.files.file import write_file
from edgecnn.files.schema import dump
from edgecnn.learning.architectures.measurements import Curve, Origin
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.versions import versions
from edgecnn.runtime.site import this_site

KEPT = BUILD / "benchmarks" / "learning"
DATA = Path("edgecnn/learning/architectures/data")


def log(text: str) -> None:
    """Print a line, and add it to the log."""
    KEPT.mkdir(parents=True, exist_ok=True)
    print(text, flush=True)
    with (KEPT / "log.txt").open("a") as file:
        file.write(f"{utc_now()} {text}\n")


def kept(name: str, options: dict[str, Any], compute: Callable[[], Any]) -> Any:
    """Return the result of an earlier run with these options; else compute and keep it."""
    file = KEPT / f"{name}.json"
    key = json.loads(json.dumps(options))
    found = json.loads(file.read_text()) if file.exists() else {}
    if found.get("options") != key:
        start = time.process_time()
        found = {"options": key, "result": compute()}
        log(f"{name}: {time.process_time() - start:.0f} s of processor time")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(found).encode())
    return found["result"]


def origin(part: str) -> Origin:
    """Return how a part's file is made."""
    return Origin(f"python -m benchmarks.learning.run {part}", utc_now(), this_site().processor, versions())


def write(name: str, result: Any) -> None:
    """Write `data/NAME.json` of the package."""
    write_file(DATA / f"{name}.json", dump(result).encode())
    log(f"wrote {DATA / name}.json")


def seeded(seed: int) -> None:
    """Make what follows the same in each run: one thread, and random numbers from a seed."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def images(source: str, split: str, count: int, *, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first images of a split, normalised, float32 [N, 1, S, S], and their classes, int64 [N].

    Args:
        source: name of a data set in grey levels.
        split: `train` or `test`.
        count: number of images.
        scale: 0.5 averages 2 × 2 pixels; 2 doubles the size, bilinearly.
    """
    found = open_source(source).split(split)
    pixels = np.stack([np.asarray(found.images[index]) for index in range(count)])
    whole = torch.from_numpy(pixels).float()[:, None] / 255
    if scale < 1:
        resized = functional.avg_pool2d(whole, round(1 / scale))
    else:
        resized = functional.interpolate(whole, scale_factor=scale, mode="bilinear", align_corners=False)
    return (resized - 0.3) / 0.3, torch.from_numpy(found.known_targets()[:count])


def curve(runs: Sequence[Sequence[float]]) -> Curve:
    """Return the mean and the range over runs of the same length."""
    values = np.array(runs)
    mean, low, high = (tuple(map(rounded, f(values, axis=0))) for f in (np.mean, np.min, np.max))
    return Curve(mean, low, high)


def rounded(value: float) -> float:
    """Return a value with four significant digits."""
    return float(f"{value:.4g}")
