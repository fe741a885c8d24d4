"""Run one inference request of HTTP or gRPC, and write its response."""

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.image_task import Call, ImageTask
from edgecnn.server.api.result import Result
from edgecnn.server.api.step_pool import StepPool
from edgecnn.server.models.batching import Job, Outcome
from edgecnn.server.models.model import Model
from edgecnn.server.models.statistics import Statistics
from edgecnn.server.models.version import Version


class InferenceCall(Call, Protocol):
    """An inference request of one protocol."""

    def writing_takes_time(self, logits: np.ndarray) -> bool:
        """Return whether encoding the response takes longer than passing it to another thread."""
        ...

    def write(self, name: str, result: Result) -> Callable[[], object]:
        """Encode the response, in any thread; return a function that sends it from the event loop's thread.

        Raises:
            Refusal: the result cannot be encoded in the requested form.
        """
        ...


class InferenceTask(ImageTask):
    """One inference request."""

    _call: InferenceCall

    def __init__(self, model: Model, call: InferenceCall, pool: StepPool, *, version: Version | None = None) -> None:
        super().__init__(model, call, pool, version=version)
        self._prepared = self._begun
        self._job: Job | None = None

    def begin(self) -> None:
        """Count the request and start it."""
        self._model.metrics.received()
        super().begin()

    def _submit(self, images: np.ndarray) -> None:
        assert self._version is not None
        self._prepared = time.monotonic()
        self._job = Job(images, self._answered, is_gone=self._call.is_gone, deadline=self._deadline)
        self._version.batcher.submit(self._job)

    def _answered(self, outcome: Outcome) -> None:
        if outcome is None:
            self._gone()
        elif isinstance(outcome, Refusal):
            self._refuse(outcome)
        else:
            self._attempt(lambda: self._write(outcome))

    def _write(self, logits: np.ndarray) -> None:
        job = self._job
        assert self._request is not None
        assert self._version is not None
        assert job is not None
        decode_s = self._prepared - self._begun
        result = Result(self._request, logits, self._version, decode_s, job.queued_s, job.inference_s, job.runs_again)
        if self._call.writing_takes_time(logits):
            name = self._model.name
            self._in_pool(lambda: self._call.write(name, result), lambda send: self._succeed(result, send))
        else:
            self._succeed(result, self._call.write(self._model.name, result))

    def _succeed(self, result: Result, send: Callable[[], object]) -> None:
        if self._end():
            self._job = None
            times = {"preprocess_s": result.decode_s, "queued_s": result.queue_s, "inference_s": result.inference_s}
            self._model.metrics.succeeded(**times)
            result.version.statistics.succeeded(len(result.logits), **times)
            send()

    def _failed(self, refusal: Refusal, statistics: Statistics) -> None:
        self._job = None
        self._model.metrics.failed(refusal.reason)
        statistics.failed(time.monotonic() - self._begun)

    def _left(self, version: Version | None) -> None:
        job, self._job = self._job, None
        if job is not None and version is not None:
            version.batcher.withdraw(job)
        self._model.metrics.cancelled()
