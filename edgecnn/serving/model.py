"""One bundle that is served: what it takes, what it gives, and whether it answers now."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineError
from edgecnn.runtime.backend import Session
from edgecnn.serving.batching import Batcher, Job
from edgecnn.serving.instances import Here, InThread, is_short
from edgecnn.serving.metrics import ModelMetrics
from edgecnn.serving.protocol.datatypes import TensorSpec
from edgecnn.serving.refusal import Refusal

VERSION = "1"
"""A bundle is sealed: the folder that is served holds one version of it."""

_JSON_BYTES, _BYTES_OF_A_NUMBER, _MOST_JSON_BYTES = 5 << 20, 16, 16 << 20
"""Whoever has more to say sends it in binary: as objects of Python's, JSON can take thirty times its bytes."""

RETRY = (("Retry-After", "1"),)

State = Literal["loading", "ready", "unavailable"]


@dataclass(frozen=True)
class Bounds:
    """What requests may take of one model.

    Attributes:
        max_batch: images of a run, and of a request.
        max_pending: requests that are not answered yet.
        max_delay_s: how long a batch that is not full waits for more.
        max_pixels: of an encoded image.
    """

    max_batch: int
    max_pending: int
    max_delay_s: float
    max_pixels: int


class Model:
    """One bundle that is served. Everything here happens in the event loop's thread, but for the engine's runs.

    Attributes:
        name: as in its URL.
        state: what it is doing.
        reason: why it does not answer, for people; empty where it does.
        pending: requests that are not answered yet.
        bounds: what requests may take of it.
        accepted: what each input may come as: pixels, or encoded image files that are decoded here.
        outputs: what it gives.
        max_json_bytes: of a request's JSON: the largest batch in numbers, and room for what stands around them.
        metrics: what has happened to its requests.
        has_died: whether the engine fails on every image.
    """

    def __init__(self, name: str, bounds: Bounds, metrics: ModelMetrics) -> None:
        self.name = name
        self.bounds = bounds
        self.metrics = metrics
        self.state: State = "loading"
        self.reason = "the bundle is being opened and proven"
        self.pending = 0
        self.accepted: dict[str, tuple[TensorSpec, ...]] = {}
        self.outputs: dict[str, TensorSpec] = {}
        self.max_json_bytes = 0
        self.has_died = False
        self._bundle: Bundle | None = None
        self._session: Session | None = None
        self._batcher: Batcher | None = None
        metrics.ready(is_ready=False)

    @property
    def bundle(self) -> Bundle:
        """The bundle.

        Raises:
            Refusal: it has not been opened yet, or cannot be.
        """
        if self._bundle is None:
            raise self._unready()
        return self._bundle

    def opened(self, bundle: Bundle) -> None:
        """Take note of what the bundle is; it does not answer yet."""
        self._bundle = bundle
        image, logits = bundle.manifest.input.name, bundle.manifest.output.name
        pixels = TensorSpec(image, "UINT8", (-1, *bundle.manifest.image_shape))
        self.accepted = {image: (pixels, TensorSpec(image, "BYTES", (-1,)))}
        self.outputs = {logits: TensorSpec(logits, "FP32", (-1, bundle.classes))}
        elements = self.bounds.max_batch * math.prod(bundle.manifest.image_shape)
        self.max_json_bytes = min(_JSON_BYTES + elements * _BYTES_OF_A_NUMBER, _MOST_JSON_BYTES)

    def start(self, session: Session, loop: asyncio.AbstractEventLoop, *, known: np.ndarray, run_ms: float) -> None:
        """Answer from now on.

        Args:
            session: of the bundle.
            loop: that this runs in.
            known: an image that the session has answered, uint8 [1, H, W, C].
            run_ms: how long it takes for one image.
        """
        assert self._bundle is not None
        self._session = session
        engine = _Runs(session, known, self._bundle.classes, lambda: loop.call_soon_threadsafe(self._died))
        here = session.concurrency == 1 and is_short(run_ms, self.bounds.max_batch)
        self._batcher = Batcher(
            loop,
            [Here(engine, loop)] if here else [InThread(engine, loop) for _ in range(session.concurrency)],
            max_batch=self.bounds.max_batch,
            max_delay_s=self.bounds.max_delay_s,
            observer=self.metrics,
        )
        self.state, self.reason = "ready", ""
        self.metrics.ready(is_ready=True)

    def refuse(self, reason: str) -> None:
        """Answer nothing, and say why."""
        self.state, self.reason = "unavailable", reason
        self.metrics.ready(is_ready=False)

    def _died(self) -> None:
        """Take note that the engine answers nothing any more; its worker looks for that, and ends."""
        self.has_died = True
        self.refuse("its engine has stopped working, and is started again")

    def check(self) -> None:
        """Let a request in, which `pending` counts already.

        Raises:
            Refusal: the model does not answer, or as many requests as it may hold wait already.
        """
        self.check_ready()
        if self.pending > self.bounds.max_pending:
            raise Refusal("busy", f"{self.pending - 1} requests wait already: try again later", headers=RETRY)

    def check_ready(self) -> None:
        """Do nothing where the model answers.

        Raises:
            Refusal: it does not.
        """
        if self.state != "ready":
            raise self._unready()

    def submit(self, job: Job) -> None:
        """Queue a job; see `Batcher.submit`."""
        assert self._batcher is not None
        self._batcher.submit(job)

    def withdraw(self, job: Job) -> None:
        """Forget a job; see `Batcher.withdraw`."""
        assert self._batcher is not None
        self._batcher.withdraw(job)

    def longest_run_s(self) -> float:
        """Return for how long the oldest run has been under way."""
        return self._batcher.longest_run_s() if self._batcher else 0.0

    def close(self) -> None:
        """End the engine's threads; nothing waits any more."""
        if self._batcher is not None:
            self._batcher.close()

    def describe(self) -> dict[str, Any]:
        """Return the protocol's model metadata."""
        _ = self.bundle  # there is nothing to describe before it is open
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "onnx_onnxv1",
            "inputs": [_tensor(specs[0]) for specs in self.accepted.values()],
            "outputs": [_tensor(spec) for spec in self.outputs.values()],
        }

    def configuration(self) -> dict[str, Any]:
        """Return the model configuration extension's answer: what perf_analyzer needs of it, and what is true here."""
        bundle, session = self.bundle, self._session
        (image,), (logits,) = self.accepted.values(), self.outputs.values()
        return {
            "name": self.name,
            "platform": "onnxruntime_onnx",
            "backend": session.info.engine if session else "",
            "max_batch_size": self.bounds.max_batch,
            "input": [_config(image[0])],
            "output": [_config(logits)],
            "dynamic_batching": {"max_queue_delay_microseconds": round(self.bounds.max_delay_s * 1e6)},
            "instance_group": [{"kind": "KIND_CPU", "count": session.concurrency if session else 0}],
            "parameters": {
                "precision": {"string_value": bundle.manifest.precision},
                "digest": {"string_value": bundle.digest},
                "threads": {"string_value": str(session.info.threads if session else 0)},
            },
        }

    def _unready(self) -> Refusal:
        return Refusal("unready", f"model '{self.name}' is {self.state}: {self.reason}", headers=RETRY)


class _Runs:
    """The engine's runs: held to their shape, and to an image that it has answered before where one fails.

    What fails may be the request's fault (no memory for so many images) or the engine's (its device is lost). An engine
    that fails on the known image too has died.
    """

    def __init__(self, session: Session, known: np.ndarray, classes: int, died: Callable[[], object]) -> None:
        self._session = session
        self._classes = classes
        self._known = known
        self._died = died

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the logits of images; called by several threads at once."""
        try:
            return self._run(images)
        except Exception:
            try:
                self._run(self._known)
            except Exception:  # whatever it raises: it answers nothing
                self._died()
            raise

    def _run(self, images: np.ndarray) -> np.ndarray:
        logits = self._session.run(images)
        if logits.shape != (len(images), self._classes):
            expected = [len(images), self._classes]
            raise EngineError(f"the graph gives logits {list(logits.shape)} where {expected} are expected")
        return logits


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _config(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": f"TYPE_{spec.datatype}", "dims": list(spec.shape[1:])}
