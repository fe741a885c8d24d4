"""Read an inference request over gRPC, and write its response."""

import asyncio
import time
from collections.abc import Callable

import numpy as np

from edgecnn.protocol.grpc.request import Received, parse
from edgecnn.protocol.grpc.response import encode
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.request import InferRequest
from edgecnn.server.api.result import Result
from edgecnn.server.memory import Claim
from edgecnn.server.models.version import Version

_LARGE_DESCRIPTION, _LARGE_TO_WRITE = 1 << 14, 1 << 16
_EXPIRY_S = 0.1
"""Tolerance of a deadline: the clocks of client and server may differ."""


class GrpcCall:
    """See `inference.Call`. The client's timeout is `remaining_s` after `begun` (monotonic clock); None means none.

    Attributes:
        result: the result in the response; None before the response.
        bundle: version and digest for the access log; empty before a version has the request.
    """

    def __init__(
        self,
        received: Received,
        loop: asyncio.AbstractEventLoop,
        *,
        claim: Claim,
        begun: float,
        remaining_s: float | None,
        ended: Callable[[bytes | Refusal], object],
    ) -> None:
        """Create a call. `ended` takes the message of the response or the error, unless the client leaves before."""
        self.claim = claim
        self.on_gone: Callable[[], None] | None = None
        self.takes_time = received.described_bytes > _LARGE_DESCRIPTION
        self.remaining_s: float | None = None
        self._deadline: float | None = None
        if remaining_s is not None:
            self._deadline = begun + remaining_s
            self.remaining_s = max(0.0, self._deadline - time.monotonic())
        self.result: Result | None = None
        self.bundle = ("", "")
        self._ended: Callable[[bytes | Refusal], object] | None = ended
        self._received: Received | None = received
        self._loop = loop
        self._is_gone = False

    def is_gone(self) -> bool:
        """See `Call`."""
        return self._is_gone

    def read(self, version: Version) -> InferRequest:
        """See `Call`."""
        received, self._received = self._received, None
        assert received is not None
        self.bundle = version.label
        return parse(
            received,
            accepted=version.accepted,
            outputs=version.outputs,
            max_batch=version.bounds.max_batch,
            max_described_bytes=version.max_json_bytes,
        )

    def writing_takes_time(self, logits: np.ndarray) -> bool:
        """See `Call`."""
        return logits.nbytes > _LARGE_TO_WRITE

    def write(self, name: str, result: Result) -> Callable[[], object]:
        """See `Call`."""
        content = encode(
            result.request,
            result.outputs(),
            model_name=name,
            model_version=str(result.version.number),
            labels=result.version.bundle.manifest.labels,
            ranking=result.logits,
        )

        def send() -> None:
            self.result = result
            self._end(content)

        return send

    def refuse(self, refusal: Refusal) -> None:
        """See `Call`."""
        self._end(refusal)

    def leave(self) -> None:
        """Record that the client cancelled the call or its deadline passed.

        A queued request whose deadline passed is refused and counted as late; any other is cancelled.
        """
        self._is_gone = True
        self._ended = None
        if self._deadline is not None and time.monotonic() >= self._deadline - _EXPIRY_S:
            self._loop.call_later(2 * _EXPIRY_S, self._report_gone)
        else:
            self._report_gone()

    def _report_gone(self) -> None:
        if self.on_gone is not None:
            self.on_gone()
        self.claim.release()

    def _end(self, outcome: bytes | Refusal) -> None:
        self.claim.release()
        ended, self._ended = self._ended, None
        if ended is not None:  # else the client has left
            ended(outcome)
