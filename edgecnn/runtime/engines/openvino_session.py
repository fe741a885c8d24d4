"""The OpenVINO session: runs a graph that `openvino` compiled."""

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from edgecnn.errors import EngineError
from edgecnn.runtime.engines.engine import SessionInfo, check_process, deliver
from edgecnn.runtime.engines.openvino_module import openvino

_CLOSED = "this session is closed: open the bundle again"
_COPIED_BYTES = 1 << 18
_UINT8 = np.dtype(np.uint8)


class OpenVinoSession:
    """A graph in OpenVINO, with one infer request for each thread that may call `run` at the same time."""

    def __init__(
        self,
        compiled: Any,
        info: SessionInfo,
        instances: int,
        *,
        one_by_one: bool = False,
        weights: np.ndarray | None = None,
    ) -> None:
        """Args: `one_by_one`: the graph takes one image; `weights`: memory that a graph from the cache refers to."""
        self.info = info
        self._weights = weights
        self.instances = instances
        self._one_by_one = one_by_one
        self._process = os.getpid()
        self._compiled = compiled
        self._requests: queue.SimpleQueue[_Request] | None = queue.SimpleQueue()
        for _ in range(instances):
            self._requests.put(_Request(compiled, weights))

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        requests = self._ready(images)
        request = requests.get()
        try:
            if len(images) == 1 and images.nbytes <= _COPIED_BYTES:
                found = request.infer_one(images)
            elif self._one_by_one and len(images) > 1:
                found = np.concatenate([request.infer(image[np.newaxis]).copy() for image in images])
            else:
                found = request.infer(images)
            # The logits are in the request's memory, which its next run overwrites.
            return found.copy() if out is None else deliver(found, out)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {reason(error)}") from None
        finally:
            requests.put(request)

    def outputs(self, names: Sequence[str], images: np.ndarray) -> list[np.ndarray]:
        """See `OutputsSession.outputs`."""
        requests = self._ready(images)
        request = requests.get()
        try:
            return request.outputs(names, images)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {reason(error)}") from None
        finally:
            requests.put(request)

    def _ready(self, images: np.ndarray) -> "queue.SimpleQueue[_Request]":
        """Return the free requests, after checking that the session is open and takes images of this type."""
        requests = self._requests
        if requests is None:
            raise EngineError(_CLOSED)
        check_process(self._process)
        _check_type(images)
        return requests

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `StreamingSession.stream`. Uses OpenVINO's asynchronous queue.

        It has two requests for each stream: one waits in the engine while the answer of the other is copied.
        """
        if self._requests is None:
            raise EngineError(_CLOSED)
        check_process(self._process)
        if self._one_by_one:
            yield from map(self.run, batches)
            return
        weights = self._weights  # as in `_Request`
        jobs = openvino.AsyncInferQueue(self._compiled, 2 * self.instances)
        jobs.set_callback(_finish)
        waiting: deque[_Job] = deque()
        try:
            for images in batches:
                _check_type(images)
                job = _Job(images)
                waiting.append(job)
                jobs.start_async([job.tensor], job)  # waits until a request is free
                while waiting and waiting[0].done.is_set():
                    yield waiting.popleft().result()
            jobs.wait_all()
            for job in waiting:
                yield job.result()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {reason(error)}") from None
        finally:
            _drain(jobs)  # the engine reads a job's images until its callback
            del jobs, weights  # in this order

    def close(self) -> None:
        """See `Session.close`."""
        self._requests = self._compiled = self._weights = None


class _Request:
    """An infer request and its input buffer, and a second request for single images.

    Binding new memory to a request is slower than copying an image into bound memory: it takes 10 of LeNet's 50 µs, and
    40 µs at 224 × 224, where the copy takes 10 µs. Larger batches are bound without a copy. A single image has its
    logits in bound memory too, which saves another 1 µs.
    """

    def __init__(self, compiled: Any, weights: np.ndarray | None) -> None:
        self._request = compiled.create_infer_request()
        self._single = compiled.create_infer_request()
        self._weights = weights  # a run in progress still reads them when the session is closed
        self._bound: np.ndarray | None = None
        self._image: np.ndarray | None = None
        self._logits = np.empty(0, np.float32)

    def infer_one(self, image: np.ndarray) -> np.ndarray:
        """Return the logits of uint8 [1, H, W, C] in the request's memory."""
        if self._image is None or self._image.shape != image.shape:
            return self._bind_single(image)
        np.copyto(self._image, image)
        self._single.infer(share_outputs=True)
        return self._logits

    def _bind_single(self, image: np.ndarray) -> np.ndarray:
        """Run an image, and bind memory for images and logits of the same shapes."""
        self._image = None  # until this succeeds
        bound = image.copy()
        self._single.set_input_tensor(_tensor(bound))
        self._single.infer(share_outputs=True)
        self._logits = self._single.get_output_tensor(0).data.copy()
        self._single.set_output_tensor(openvino.Tensor(self._logits, shared_memory=True))
        self._image = bound
        return self._logits

    def infer(self, images: np.ndarray) -> np.ndarray:
        """Return the logits in the request's memory."""
        if images.nbytes > _COPIED_BYTES:
            self._bound = None
            self._request.set_input_tensor(_tensor(images))
        else:
            if self._bound is None or self._bound.shape != images.shape:
                bound = np.empty(images.shape, np.uint8)
                self._request.set_input_tensor(_tensor(bound))
                self._bound = bound
            np.copyto(self._bound, images)
        self._request.infer(share_outputs=True)
        logits: np.ndarray = self._request.get_output_tensor(0).data
        return logits

    def outputs(self, names: Sequence[str], images: np.ndarray) -> list[np.ndarray]:
        """Return copies of the named outputs."""
        self.infer(images)
        return [self._request.get_tensor(name).data.copy() for name in names]


class _Job:
    """One batch in the asynchronous queue. It keeps the images alive until the engine has answered."""

    def __init__(self, images: np.ndarray) -> None:
        self.tensor = _tensor(images)
        self.done = threading.Event()
        self.logits: np.ndarray | None = None

    def result(self) -> np.ndarray:
        """Return the logits of a finished job."""
        if self.logits is None:
            raise RuntimeError("the asynchronous queue returned no answer for a batch")
        return self.logits


def _finish(request: Any, job: _Job) -> None:
    """Copy the answer before the request is reused. OpenVINO calls this function."""
    try:
        job.logits = request.get_output_tensor(0).data.copy()
    finally:
        job.done.set()


def _drain(jobs: Any) -> None:
    with contextlib.suppress(RuntimeError):  # `stream` already raised it
        jobs.wait_all()


def _tensor(images: np.ndarray) -> Any:
    """Return images as an OpenVINO tensor, without a copy if they are contiguous and writable."""
    shareable = images if images.flags.c_contiguous and images.flags.writeable else np.array(images, order="C")
    return openvino.Tensor(shareable, shared_memory=True)


def _check_type(images: np.ndarray) -> None:
    if images.dtype != _UINT8:  # OpenVINO would reinterpret the bytes of other dtypes
        raise EngineError(f"OpenVINO failed: images must be uint8, found {images.dtype}")


def reason(error: Exception) -> str:
    """Return the reason of an OpenVINO error, without the source lines that precede it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if not line.startswith(("Exception from", "Check "))]
    return " ".join(reasons or lines)[:300]
