"""Read an inference request over HTTP (JSON, binary tensors or an image file), and write its response."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from edgecnn.bundle.formats import SIGNATURE_BYTES, identify, listed, media_type
from edgecnn.protocol.http_headers import BUNDLE_DIGEST, HEADER_LENGTH
from edgecnn.protocol.image_body import Wanted, of_an_image, wanted_by
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.request import InferRequest, parse
from edgecnn.protocol.response import encode
from edgecnn.protocol.wording import quoted
from edgecnn.server.api.json_memory import json_bytes
from edgecnn.server.api.result import Result
from edgecnn.server.http import content
from edgecnn.server.http.message import Exchange, Head, Response
from edgecnn.server.models.version import Version

_FORM = b"--"
_NO_JSON = (b"\x89PNG", b"\xff\xd8\xff", b"BM", _FORM)
"""First bytes of image files and forms; JSON never starts with them."""

_LARGE_JSON = 1 << 14
_LARGE_BODY = 1 << 16
_NUMBER_BYTES, _LABEL_BYTES = 80, 200
"""Upper bounds for a number and for a label in a response: Python objects, growing text, and a compressed copy."""
_LARGE_TO_WRITE, _LARGE_TO_COMPRESS = 1 << 16, 1 << 12


class HttpCall:
    """See `inference.Call`."""

    remaining_s: float | None = None  # over HTTP, the request body contains the timeout

    def __init__(self, exchange: Exchange, reply: Callable[[Exchange, Response], None], *, max_body_bytes: int) -> None:
        self._exchange = exchange
        self.claim = exchange.claim
        self._reply = reply
        self._max_body_bytes = max_body_bytes
        self.query = exchange.head.query
        self.takes_time = _takes_time(exchange.head, exchange.body)

    @property
    def on_gone(self) -> Callable[[], None] | None:
        """See `Call`."""
        return self._exchange.on_gone

    @on_gone.setter
    def on_gone(self, tell: Callable[[], None] | None) -> None:
        self._exchange.on_gone = tell

    def is_gone(self) -> bool:
        """See `Call`."""
        return self._exchange.is_gone()

    def read(self, version: Version) -> InferRequest:
        """See `Call`."""
        head = self._exchange.head
        self._exchange.bundle = version.label
        coding = head.headers.get("content-encoding", "")
        held = self.claim.held_bytes
        body = content.decode(self._exchange.body, coding, limit=self._max_body_bytes, reserve=self.claim.take)
        self._exchange.body = b""  # the parsed request references the parts that are still needed
        if self.claim.held_bytes > held:  # after decompression, only the body remains
            self.claim.release(self.claim.held_bytes - len(body))
        if not body:
            raise Refusal("invalid", "request body is empty")
        wanted = wanted_by(head.query) if head.query else Wanted()
        if _is_image(head):
            return of_an_image(body, accepted=version.accepted, outputs=version.outputs, wanted=wanted)
        json_length = head.headers.get(HEADER_LENGTH.lower())
        if json_length is None and (body.startswith(_NO_JSON) or identify(body[:SIGNATURE_BYTES])):
            raise Refusal("invalid", _instead_of_json(body, head, version.bounds.formats))
        if not self.takes_time and len(body) <= _LARGE_BODY:
            return _parse(body, json_length, version, wanted.probabilities)
        with self.claim.holding(_parsing_bytes(body, json_length, version)):
            return _parse(body, json_length, version, wanted.probabilities)

    def writing_takes_time(self, logits: np.ndarray) -> bool:
        """See `Call`."""
        is_compressed = "accept-encoding" in self._exchange.head.headers
        return logits.nbytes > (_LARGE_TO_COMPRESS if is_compressed else _LARGE_TO_WRITE)

    def write(self, name: str, result: Result) -> Callable[[], object]:
        """See `Call`."""
        if result.logits.nbytes > _LARGE_TO_COMPRESS:
            self.claim.take(_writing_bytes(result))
        body, header_length = encode(
            result.request,
            result.outputs(),
            model_name=name,
            model_version=str(result.version.number),
            labels=result.version.bundle.manifest.labels,
            ranking=result.logits,
        )
        headers = [("Content-Type", "application/json" if header_length is None else "application/octet-stream")]
        if header_length is not None:
            headers.append((HEADER_LENGTH, str(header_length)))
        body, coding = content.encode(body, self._exchange.head.headers.get("accept-encoding", ""))
        if coding is not None:
            headers.append(("Content-Encoding", coding))
        headers += result.headers()
        response = Response(200, body, tuple(headers))
        return lambda: self._reply(self._exchange, response)

    def write_document(self, document: Any, version: Version) -> Callable[[], object]:
        """See `ExplanationCall`."""
        body, coding = content.encode(orjson.dumps(document), self._exchange.head.headers.get("accept-encoding", ""))
        self.claim.take(len(body))
        coded = (("Content-Encoding", coding),) if coding is not None else ()
        headers = (("Content-Type", "application/json"), (BUNDLE_DIGEST, version.bundle.digest), *coded)
        response = Response(200, body, headers)
        return lambda: self._reply(self._exchange, response)

    def refuse(self, refusal: Refusal) -> None:
        """See `Call`."""
        self._reply(self._exchange, refused(refusal))


def _parse(body: bytes, json_length: str | None, version: Version, probabilities: bool) -> InferRequest:
    return parse(
        body,
        json_length,
        accepted=version.accepted,
        outputs=version.outputs,
        max_batch=version.bounds.max_batch,
        max_json_bytes=version.max_json_bytes,
        probabilities=probabilities,
    )


def _parsing_bytes(body: bytes, json_length: str | None, version: Version) -> int:
    """Return the memory that parsing a body takes: objects of its JSON, and copies of the elements of BYTES tensors.

    Raises:
        Refusal: the JSON has too many elements or lists. orjson keeps Python's lock, so all other requests would wait.
    """
    text = body
    if json_length is not None and json_length.isascii() and json_length.isdecimal():
        text = body[: int(json_length[:20])]
    if len(text) > version.max_json_bytes:
        return 0  # it is refused
    for mark, most, what in (
        (b",", version.max_json_elements, "elements"),
        (b"]", version.max_json_lists, "lists"),
    ):
        if (count := text.count(mark)) > most:
            raise Refusal("too_large", f"expected at most {most} {what} in JSON, found {count}: send binary data")
    is_copied = b'"BYTES"' in text
    return json_bytes(text) + (len(body) if is_copied else 0)


def _writing_bytes(result: Result) -> int:
    """Return the memory of a response while it is encoded: numbers as text, or labels, and a compressed copy."""
    labels = result.version.bundle.manifest.labels
    images, numbers = len(result.logits), 0
    for output in result.request.outputs:
        if output.classes:
            numbers += images * min(output.classes, len(labels)) * (_LABEL_BYTES + 3 * max(map(len, labels)))
        else:
            numbers += _NUMBER_BYTES * result.logits.size
    return numbers


def refused(refusal: Refusal) -> Response:
    """Return the response for an error."""
    headers = [("Content-Type", "application/json"), *refusal.headers]
    if refusal.retry_after_s is not None:
        headers.append(("Retry-After", str(refusal.retry_after_s)))
    if refusal.reason == "unauthorized":
        headers.append(("WWW-Authenticate", "Bearer"))
    return Response(refusal.status, orjson.dumps({"error": str(refusal)}), tuple(headers))


def _takes_time(head: Head, body: bytes) -> bool:
    """Return whether parsing a body takes longer than passing it to another thread."""
    if _is_image(head) or "content-encoding" in head.headers:
        return True
    json_length = head.headers.get(HEADER_LENGTH.lower(), "")
    is_short = json_length.isascii() and json_length.isdecimal() and int(json_length[:9]) <= _LARGE_JSON
    return len(body) > _LARGE_JSON and not is_short


def _is_image(head: Head) -> bool:
    return head.headers.get("content-type", "").lower().startswith("image/")


def _instead_of_json(body: bytes, head: Head, formats: Sequence[str]) -> str:
    """Return the error message for an image or a form sent in place of JSON."""
    if body.startswith(_FORM):
        return "expected JSON or an image, found a form: send the image as the body (curl --data-binary @FILE, not -F)"
    kind = head.headers.get("content-type", "")
    found = f"as {quoted(kind)}" if kind else "without a Content-Type"
    expected = listed([media_type(name) for name in formats])
    return f"found an image sent {found}: send it with Content-Type: {expected} (curl -H)"
