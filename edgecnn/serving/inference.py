"""One inference request, from its body to its answer.

Small things are done where they come in, in the event loop's thread: handing them to another would take longer than
doing them. What takes its time (images, large JSON, anything compressed) is done by worker threads.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs

import numpy as np
import orjson

from edgecnn.serving.batching import Answer, Job, Outcome
from edgecnn.serving.http import content
from edgecnn.serving.http.message import Exchange, Head, Response
from edgecnn.serving.model import VERSION, Model
from edgecnn.serving.pictures import pixels_of
from edgecnn.serving.protocol.request import InferRequest, RequestedOutput, parse
from edgecnn.serving.protocol.response import encode
from edgecnn.serving.refusal import Refusal

HEADER_LENGTH = "Inference-Header-Content-Length"
_LARGE_JSON = 1 << 14
_LARGE_TO_WRITE, _LARGE_TO_COMPRESS = 1 << 16, 1 << 12

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workplace:
    """Where requests are worked on.

    Attributes:
        loop: whose thread everything begins and ends in.
        pool: threads for what takes its time.
        max_body_bytes: of a body that is inflated.
        reply: gives an exchange its answer.
    """

    loop: asyncio.AbstractEventLoop
    pool: ThreadPoolExecutor
    max_body_bytes: int
    reply: Callable[[Exchange, Response], None]


@dataclass(frozen=True, slots=True)
class _Read:
    """A request as it was understood; either images are there, or files that are to be decoded."""

    request: InferRequest
    images: np.ndarray | None
    files: tuple[bytes, ...]


class Inference:
    """One inference request; every way through it ends in `_end`, once."""

    def __init__(self, model: Model, exchange: Exchange, workplace: Workplace) -> None:
        self._model = model
        self._exchange = exchange
        self._at = workplace
        self._begun = time.monotonic()
        self._prepared = self._begun
        self._deadline: float | None = None
        self._job: Job | None = None
        self._future: Future[Any] | None = None
        self._request: InferRequest | None = None
        self._ended = False

    def begin(self) -> None:
        """Count the request and start on it."""
        self._model.metrics.received()
        self._model.pending += 1
        self._exchange.on_gone = self._gone
        self._attempt(self._start)

    def _start(self) -> None:
        self._model.check()
        if _takes_time(self._exchange.head, self._exchange.body):
            self._apart(self._read, self._decode)
        else:
            self._decode(self._read())

    def _read(self) -> _Read:
        """Understand the body; called in either kind of thread."""
        head = self._exchange.head
        body = content.decode(
            self._exchange.body, head.headers.get("content-encoding", ""), limit=self._at.max_body_bytes
        )
        if not body:
            raise Refusal("invalid", "the request's body is empty")
        if _is_image(head):
            return _Read(_of_an_image(head, self._model), None, (body,))
        request = parse(
            body,
            head.headers.get(HEADER_LENGTH.lower()),
            accepted=self._model.accepted,
            outputs=self._model.outputs,
            max_batch=self._model.bounds.max_batch,
            max_json_bytes=self._model.max_json_bytes,
        )
        (images,) = request.inputs.values()
        return _Read(request, None, images) if isinstance(images, tuple) else _Read(request, images, ())

    def _decode(self, read: _Read) -> None:
        """Turn files into images; go on at once where there are images."""
        self._exchange.body = b""  # what is still needed of it, others hold
        self._request = read.request
        if read.request.timeout_s is not None:
            self._deadline = self._begun + read.request.timeout_s
        if read.images is not None:
            self._submit(read.images)
        else:
            self._apart(lambda: self._pixels(read.files), self._submit)

    def _pixels(self, files: tuple[bytes, ...]) -> np.ndarray:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise Refusal("late", "the request's timeout passed before its images were decoded; it was not executed")
        manifest = self._model.bundle.manifest
        images = pixels_of(files, manifest.preprocessing, max_pixels=self._model.bounds.max_pixels)
        if images.shape[1:] != manifest.image_shape:
            raise Refusal(
                "invalid", f"expected an image of {list(manifest.image_shape)}, found {list(images.shape[1:])}"
            )
        return images

    def _submit(self, images: np.ndarray) -> None:
        self._prepared = time.monotonic()
        self._job = Job(images, self._answered, is_gone=self._exchange.is_gone, deadline=self._deadline)
        self._model.submit(self._job)

    def _answered(self, outcome: Outcome) -> None:
        if outcome is None:
            self._gone()
        elif isinstance(outcome, Refusal):
            self._refuse(outcome)
        else:
            self._attempt(lambda: self._encode(outcome))

    def _encode(self, answer: Answer) -> None:
        coding = self._exchange.head.headers.get("accept-encoding", "")
        if answer.logits.nbytes > (_LARGE_TO_COMPRESS if coding else _LARGE_TO_WRITE):
            self._apart(lambda: self._response(answer, coding), lambda response: self._succeed(answer, response))
        else:
            self._succeed(answer, self._response(answer, coding))

    def _response(self, answer: Answer, accepted: str) -> Response:
        assert self._request is not None
        (name,) = self._model.outputs
        body, header_length = encode(
            self._request,
            {name: answer.logits},
            model_name=self._model.name,
            model_version=VERSION,
            labels=self._model.bundle.manifest.labels,
        )
        headers = [("Content-Type", "application/json" if header_length is None else "application/octet-stream")]
        if header_length is not None:
            headers.append((HEADER_LENGTH, str(header_length)))
        body, coding = content.encode(body, accepted)
        if coding is not None:
            headers.append(("Content-Encoding", coding))
        return Response(200, body, tuple(headers))

    def _succeed(self, answer: Answer, response: Response) -> None:
        if self._end():
            self._model.metrics.succeeded(
                len(answer.logits),
                preprocess_s=self._prepared - self._begun,
                queued_s=answer.queued_s,
                inference_s=answer.inference_s,
            )
            self._at.reply(self._exchange, response)

    def _refuse(self, refusal: Refusal) -> None:
        if self._end():
            if refusal.__cause__ is not None:
                logger.error("a request failed", extra={"model": self._model.name}, exc_info=refusal.__cause__)
            self._model.metrics.failed(refusal.reason, time.monotonic() - self._begun)
            self._at.reply(self._exchange, refused(refusal))

    def _gone(self) -> None:
        """Stop working for a client that has left."""
        job = self._job
        if self._end():
            if job is not None:
                self._model.withdraw(job)
            self._model.metrics.cancelled()

    def _end(self) -> bool:
        """Whether this is the end; false where it has ended before.

        What holds this object is let go of: in a circle, a body of megabytes would wait for Python's garbage collector,
        which counts objects and not their sizes.
        """
        if self._ended:
            return False
        self._ended = True
        self._model.pending -= 1
        self._exchange.on_gone = None
        self._job = None
        future, self._future = self._future, None
        if future is not None:
            future.cancel()  # where it has not begun, it never does
        return True

    def _apart(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do something in a worker thread and go on with what it returns, unless the request has ended meanwhile."""
        self._future = self._at.pool.submit(work)
        self._future.add_done_callback(lambda done: self._back(done, then))

    def _back(self, done: "Future[T]", then: Callable[[T], None]) -> None:
        self._at.loop.call_soon_threadsafe(self._go_on, done, then)

    def _go_on(self, done: "Future[T]", then: Callable[[T], None]) -> None:
        if self._ended or done.cancelled():
            return
        self._future = None
        error = done.exception()  # not raised here: it would hold this frame, and so the future that holds it
        if error is None:
            self._attempt(lambda: then(done.result()))
        elif isinstance(error, Refusal):
            self._refuse(error)
        else:
            self._fail(error)

    def _attempt(self, step: Callable[[], None]) -> None:
        """Take a step; whatever goes wrong in it, the request gets an answer and is counted."""
        try:
            step()
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Answer after a bug, or without memory: this request fails, the server goes on."""
        failure = Refusal("engine", "the server failed on this request; its log says why")
        failure.__cause__ = error
        self._refuse(failure)


def refused(refusal: Refusal) -> Response:
    """Write an error as the protocol does."""
    body = orjson.dumps({"error": str(refusal)})
    return Response(refusal.status, body, (("Content-Type", "application/json"), *refusal.headers))


def _takes_time(head: Head, body: bytes) -> bool:
    """Whether understanding a body takes longer than handing it to another thread."""
    if _is_image(head) or "content-encoding" in head.headers:
        return True
    json_length = head.headers.get(HEADER_LENGTH.lower(), "")
    is_short = json_length.isascii() and json_length.isdecimal() and int(json_length[:9]) <= _LARGE_JSON
    return len(body) > _LARGE_JSON and not is_short


def _is_image(head: Head) -> bool:
    return head.headers.get("content-type", "").lower().startswith("image/")


def _of_an_image(head: Head, model: Model) -> InferRequest:
    """Return the request that a plain image file stands for: all outputs as JSON, or `?classification=K` labels."""
    wanted = parse_qs(head.query).get("classification", ["0"])[-1]
    if not (wanted.isascii() and wanted.isdecimal()):
        raise Refusal("invalid", "classification in the query must be a number of classes")
    outputs = tuple(RequestedOutput(name, binary=False, classes=int(wanted[:9])) for name in model.outputs)
    return InferRequest(id=None, inputs={}, datatypes={}, outputs=outputs, batch=1, timeout_s=None)
