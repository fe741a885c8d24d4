"""Measure the overhead of `Classifier.logits` over the engine's own call with bound buffers, for `runtime.py`.

The engine's own call is its fastest: input and output are bound once, and a new image is not even read. It uses the
session of the classifier. A second copy of the graph would be at other addresses, which alone makes a large network one
or two percent faster or slower.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import openvino

import edgecnn
from benchmarks.engines.bundles import prepared
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.measuring.estimates import HIGH, LOW, RESAMPLES
from edgecnn.tuning.measuring.turn import Turn, interleave
from edgecnn.tuning.measuring.worker import self_test_batch

ALLOWED_US, ALLOWED_SHARE = 10.0, 0.01
"""Claimed limits: microseconds, and share of the engine's own time."""

_ROUNDS, _TURN_S, _LEAST_RUNS, _ALIVE = 20, 0.1, 3, 4

Call = Callable[[np.ndarray], object]


class Calls:
    """One way to run a batch, as a `Runner`."""

    def __init__(self, call: Call, images: np.ndarray, *, fresh: bool) -> None:
        """Store the call; with `fresh`, each call gets its own array, and the copy is not timed."""
        self._call = call
        self._images = images
        self._alive: deque[np.ndarray] | None = deque(maxlen=_ALIVE) if fresh else None

    def turn(self, seconds: float) -> Turn:
        """See `Runner`; the first fifth is not timed."""
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds / 5:
            self._call(self._next())
        times: list[float] = []
        begin = time.perf_counter()
        while len(times) < _LEAST_RUNS or time.perf_counter() - begin < seconds:
            images = self._next()
            start = time.perf_counter()
            self._call(images)
            times.append(time.perf_counter() - start)
        elapsed = time.perf_counter() - begin
        return Turn(tuple(each * 1e3 for each in times), len(times) * len(self._images), elapsed)

    def _next(self) -> np.ndarray:
        if self._alive is None:
            return self._images
        self._alive.append(self._images.copy())  # keep the last few arrays, so that the next one has another address
        return self._alive[-1]


def overhead() -> list[dict[str, Any]]:
    """Time the classifier and its engine in turns."""
    rows = []
    for network in ("lenet", "resnet18"):
        bundle = prepared(network, "int8")
        for engine, own_call in OWN_CALLS.items():
            with edgecnn.load(bundle, engine=engine, threads=1) as classifier:
                for batch in (1, 8):
                    images = self_test_batch(bundle, batch)
                    own = own_call(classifier._session, images, bundle.classes)
                    for fresh in (True, False):
                        case = {"network": network, "engine": engine, "batch": batch, "fresh": fresh}
                        rows.append(case | _compare(classifier.logits, own, images, fresh=fresh))
                        print(rows[-1], flush=True)
    return rows


def _compare(ours: Call, own: Call, images: np.ndarray, *, fresh: bool) -> dict[str, Any]:
    runners = [Calls(call, images, fresh=fresh) for call in (ours, own)]
    with_us, alone = (
        [float(np.median(turn.times_ms)) * 1e3 for turn in turns]
        for turns in interleave(runners, rounds=_ROUNDS, seconds=_TURN_S)
    )
    found, own_us = _difference(with_us, alone), float(np.median(alone))
    allowed = ALLOWED_US + ALLOWED_SHARE * own_us
    return {
        "ours_us": float(np.median(with_us)),
        "engine_us": own_us,
        "difference_us": asdict(found),
        "allowed_us": allowed,
        "holds": True if found.high <= allowed else False if found.low > allowed else None,
    }


def _difference(ours: Sequence[float], own: Sequence[float]) -> Estimate:
    """Estimate the difference from medians of turns in the same rounds, with resampled rounds."""
    differences = np.array(ours) - np.array(own)
    chosen = np.random.default_rng(0).integers(0, len(differences), (RESAMPLES, len(differences)))
    low, high = np.percentile(np.median(differences[chosen], axis=1), [LOW, HIGH])
    return Estimate(float(np.median(differences)), float(low), float(high))


def _onnxruntime(session: Session, images: np.ndarray, classes: int) -> Call:
    graph: Any = session._session  # type: ignore[attr-defined]  # see above
    logits = np.empty((len(images), classes), np.float32)
    binding = graph.io_binding()
    for bind, spec, array in (
        (binding.bind_input, graph.get_inputs()[0], images),
        (binding.bind_output, graph.get_outputs()[0], logits),
    ):
        bind(spec.name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def call(_: np.ndarray, *, bound: tuple[np.ndarray, ...] = (images, logits)) -> None:
        graph.run_with_iobinding(binding)

    return call


def _openvino(session: Session, images: np.ndarray, classes: int) -> Call:
    request = session._compiled.create_infer_request()  # type: ignore[attr-defined]  # see above
    logits = np.empty((len(images), classes), np.float32)
    request.set_input_tensor(openvino.Tensor(images, shared_memory=True))
    request.set_output_tensor(openvino.Tensor(logits, shared_memory=True))

    def call(_: np.ndarray, *, bound: tuple[np.ndarray, ...] = (images, logits)) -> None:
        request.infer(share_outputs=True)

    return call


OWN_CALLS = {"onnxruntime": _onnxruntime, "openvino": _openvino}
