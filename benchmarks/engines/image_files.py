"""Compare `Classifier.predict` on image files with loops that use torchvision, for `runtime.py`.

The first loop is minimal: transforms of bytes, then the engine. The second loop also normalises, as most people write
it, although the graph does so. Both run batch 1 with one thread per core. All candidates give the engine the same
pixels and get the same answers; this is checked for every file.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from benchmarks.common.photographs import write_photographs
from benchmarks.common.random_networks import IMAGENET
from benchmarks.engines.bundles import PREPROCESSING, RUNTIME, prepared
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.classifier import Classifier
from edgecnn.runtime.engines.choices import ENGINES
from edgecnn.runtime.engines.engine import Session, SessionOptions
from edgecnn.runtime.opening import open_session
from edgecnn.tuning.measuring.estimates import ratio, speed
from edgecnn.tuning.measuring.turn import Turn, interleave

CLAIM = 1.5
"""Claimed throughput relative to the first loop, on two cores, with the better engine and setting."""

_FILES = 256
_ROUNDS = 9
BYTES, NORMALISED = "torchvision, bytes", "torchvision, normalised"

Answer = Callable[[Sequence[Path]], list[int]]


class Pass:
    """All files once, as a `Runner`."""

    def __init__(self, answer: Answer, files: Sequence[Path]) -> None:
        self._answer = answer
        self._files = files

    def turn(self, _: float) -> Turn:
        """Classify the files; `seconds` does not limit a pass."""
        start = time.perf_counter()
        self._answer(self._files)
        elapsed = time.perf_counter() - start
        return Turn((elapsed * 1e3,), len(self._files), elapsed)


def predict() -> list[dict[str, Any]]:
    """Check that all answers are equal, then time every candidate on every engine, in turns."""
    files = [RUNTIME / "photographs" / f"{index:03d}.jpg" for index in range(_FILES)]
    write_photographs({file: index for index, file in enumerate(files)})
    for file in files:
        np.testing.assert_array_equal(PREPROCESSING.image(file), pixels_of(file))
    with contextlib.ExitStack() as stack:
        ways = {(engine, *way): answer for engine in ENGINES for way, answer in _ways(engine, stack).items()}
        answers = {way: answer(files) for way, answer in ways.items()}
        for way, found in answers.items():
            assert found == answers[way[0], BYTES, usable_cores(), 1], way
        turns = dict(
            zip(ways, interleave([Pass(w, files) for w in ways.values()], rounds=_ROUNDS, seconds=0), strict=True)
        )
    rows = []
    for (engine, name, threads, instances), taken in turns.items():
        seconds = [turn.seconds for turn in taken]
        row: dict[str, Any] = {"engine": engine, "way": name, "threads": threads, "instances": instances}
        row["images_per_s"] = asdict(speed(taken).images_per_s)
        for peer in (BYTES, NORMALISED):
            theirs = turns[engine, peer, usable_cores(), 1]
            row[f"over {peer}"] = asdict(ratio([turn.seconds for turn in theirs], seconds))
        rows.append(row)
        print(row, flush=True)
    return rows


def _ways(engine: str, stack: contextlib.ExitStack) -> dict[tuple[str, int, int], Answer]:
    """Return the candidates of an engine, by name, threads and instances."""
    bundle, cores = prepared("resnet18", "int8"), usable_cores()

    def opened(threads: int, instances: int) -> Session:
        session = open_session(bundle, engine=engine, options=SessionOptions(threads=threads, instances=instances))
        stack.callback(session.close)
        return session

    ways: dict[tuple[str, int, int], Answer] = {
        ("edgecnn", threads, instances): _ours(Classifier(bundle, opened(threads, instances)))
        for threads, instances in ((cores, 1), (1, cores))
    }
    session = opened(cores, 1)
    ways[BYTES, cores, 1] = lambda files: [int(session.run(pixels_of(file)[None]).argmax()) for file in files]
    ways[NORMALISED, cores, 1] = lambda files: [int(session.run(normalised(file)[0][None]).argmax()) for file in files]
    return ways


def _ours(classifier: Classifier) -> Answer:
    return lambda files: [prediction.index for prediction in classifier.predict(files)]


_TO_BYTES = v2.Compose([v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor()])
_TO_IMAGE = v2.Compose([v2.Resize(256), v2.CenterCrop(224), v2.ToImage()])
_NORMALISE = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(*map(list, IMAGENET))])


def pixels_of(file: Path) -> np.ndarray:
    """Return a file's pixels through torchvision: uint8 [224, 224, 3]."""
    with Image.open(file) as picture:
        return _channels_last(_TO_BYTES(picture.convert("RGB")))


def normalised(file: Path) -> tuple[np.ndarray, torch.Tensor]:
    """Return a file's pixels, and the input for a network without normalisation in its graph."""
    with Image.open(file) as picture:
        image = _TO_IMAGE(picture.convert("RGB"))
    return _channels_last(image), _NORMALISE(image)


def _channels_last(image: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
