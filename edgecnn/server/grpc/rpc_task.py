"""Answer one gRPC call: check the client, receive the message, compute the response, and report the status.

The client is checked before its message is received. Time and memory of the message are limited: the library reports
its size only when it is complete, so a message that takes longer than a moment reserves memory for the largest one.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from edgecnn.protocol.api_key import shown_key
from edgecnn.protocol.grpc import messages
from edgecnn.protocol.grpc.request import receive
from edgecnn.protocol.http_headers import REQUEST_ID
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.access_log import AccessLog
from edgecnn.server.api.control_requests import check_parameters
from edgecnn.server.api.service import Service
from edgecnn.server.grpc.answers import ANSWERS, CODES, OPEN
from edgecnn.server.grpc.call import GrpcCall
from edgecnn.server.grpc.library import Metadata, Rpc
from edgecnn.server.http.limits import Limits
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.load_queue import Action

_PREFIX = f"/{messages.SERVICE.full_name}/"
_INFER, _LOAD, _UNLOAD = "ModelInfer", "RepositoryModelLoad", "RepositoryModelUnload"
_SMALL_MESSAGE = 64 << 10
"""Maximum size of a message, except for inference."""
_MOMENT_S = 0.05
"""Time in which most messages arrive."""
_SLOW_SHARE = 0.5
"""Part of the memory budget that messages which take longer may reserve."""
_VERDICT_S = 0.1
"""Time in which the library cancels a call whose message is too large."""
_REQUEST_ID = REQUEST_ID.lower()
_PUSHBACK_MS = "grpc-retry-pushback-ms"
"""Delay before a retry (gRPC proposal A6), like HTTP's `Retry-After` header."""

logger = logging.getLogger(__name__)


@dataclass
class Shared:
    """What all calls of a server use.

    Attributes:
        access_log: None if calls are not logged.
        busy: number of calls without a response.
        reserved_bytes: sum of the memory that slow messages have reserved.
    """

    service: Service
    metrics: Metrics
    limits: Limits
    access_log: AccessLog | None
    busy: int = 0
    reserved_bytes: int = 0


class RpcTask:
    """One call. Everything happens in the event loop's thread."""

    def __init__(self, shared: Shared, rpc: Rpc) -> None:
        self._shared = shared
        self._service = shared.service
        self._rpc = rpc
        self._loop = asyncio.get_running_loop()
        self._claim = shared.service.budget.claim()
        self._request_id = self._service.request_id(rpc.metadata.get(_REQUEST_ID, ""))
        self._name = rpc.path.removeprefix(_PREFIX)
        self._reserved_bytes = self._received_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._call: GrpcCall | None = None
        self._leave: Callable[[], object] | None = None
        self._model = ""
        self._is_ended = False

    def begin(self) -> None:
        """Check the call and receive its message."""
        self._shared.busy += 1
        self._rpc.on_cancelled = self._cancelled
        self._attempt(self._start)

    def _start(self) -> None:
        is_known = self._rpc.path.startswith(_PREFIX) and self._name in messages.REQUESTS
        if is_known and self._name in OPEN:  # answered without its message and above the limit of calls
            self._answer(messages.answer(self._name, ANSWERS[self._name](self._service, None)))
            return
        self._admit(is_known=is_known)
        self._timer = self._loop.call_later(_MOMENT_S, self._attempt, self._reserve)
        self._rpc.receive(self._received)

    def _admit(self, *, is_known: bool) -> None:
        """Check a call before its message is received.

        Raises:
            Refusal: the API key is missing or wrong, the call does not exist, or too many calls are pending.
        """
        self._service.check_key(shown_key(self._rpc.metadata))
        if not is_known:
            path = self._rpc.path
            raise Refusal("method", f"unknown call {quoted(path if path.startswith('/') else '/' + path)}")
        if self._shared.busy > self._shared.limits.max_connections:
            raise Refusal("busy", f"{self._shared.busy - 1} calls are already queued: try again later")
        if self._name == _INFER:
            self._service.check_serving()
            # Under overload, the messages would take longer than their responses.
            self._service.check_room()

    def _reserve(self) -> None:
        """Reserve memory for a message that has not arrived within a moment.

        Raises:
            Refusal: the memory is in use.
        """
        shared = self._shared
        most = int(self._service.budget.total_bytes * _SLOW_SHARE)
        size = min(shared.limits.max_body_bytes, most)
        if shared.reserved_bytes + size > most:
            raise Refusal("busy", "too many messages are being received: try again later")
        self._claim.take(size)
        self._reserved_bytes = size
        shared.reserved_bytes += size
        self._timer = self._loop.call_later(shared.limits.body_timeout_s - _MOMENT_S, self._attempt, self._time_out)

    def _time_out(self) -> None:
        raise Refusal("slow", f"the message took longer than {self._shared.limits.body_timeout_s:g} s")

    def _received(self, content: bytes | None) -> None:
        if self._is_ended:
            return
        self._stop_waiting()
        if content is None:  # the library cancels a call whose message is too large
            self._timer = self._loop.call_later(_VERDICT_S, self._attempt, self._miss)
        else:
            self._attempt(lambda: self._take(content))

    def _miss(self) -> None:
        raise Refusal("invalid", "expected a message, found none")

    def _take(self, content: bytes) -> None:
        """Answer a message.

        Raises:
            Refusal: it is malformed or too large, the memory is in use, or the call cannot be answered.
        """
        self._received_bytes = len(content)
        self._claim.take(len(content))
        if self._name == _INFER:
            self._infer(content)
            return
        if len(content) > _SMALL_MESSAGE:
            raise Refusal("too_large", f"expected at most {_SMALL_MESSAGE} bytes, found {len(content)}")
        message = messages.request(self._name, content)
        if self._name in {_LOAD, _UNLOAD}:
            self._control(message)
        else:
            self._answer(messages.answer(self._name, ANSWERS[self._name](self._service, message)))

    def _infer(self, content: bytes) -> None:
        """Start an inference request.

        Raises:
            Refusal: the message is malformed, the memory is in use, or the model does not exist.
        """
        received = receive(content, reserve=self._claim.take)
        model = self._service.model(received.message.model_name, received.message.model_version)
        self._model = model.name
        begun, left_s = self._rpc.begun, self._rpc.timeout_s
        self._call = call = GrpcCall(
            received, self._loop, claim=self._claim, begun=begun, remaining_s=left_s, ended=self._inferred
        )
        self._service.infer(model, call)

    def _inferred(self, outcome: bytes | Refusal) -> None:
        call, self._call = self._call, None
        if call is None:
            return  # the call has ended with another error
        if isinstance(outcome, Refusal):
            self._refuse(outcome, call.bundle)
        else:
            result = call.result
            headers = () if result is None else tuple((name.lower(), value) for name, value in result.headers())
            self._answer(outcome, headers, call.bundle)

    def _control(self, message: Any) -> None:
        """Load or unload a model.

        Raises:
            Refusal: clients may not load models.
        """
        queue = self._service.require_load_queue()
        check_parameters(message.parameters)
        self._model = message.model_name
        action: Action = "load" if self._name == _LOAD else "unload"
        self._leave = queue.put(action, message.model_name, lambda refusal: self._attempt(self._loaded, refusal))

    def _loaded(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            raise refusal
        self._answer(messages.answer(self._name, {}))

    def _attempt(self, step: Callable[..., object], *arguments: object) -> None:
        """Run a step, unless the call has ended; on any error, send it."""
        if self._is_ended:
            return
        try:
            step(*arguments)
        except Refusal as refusal:
            self._shared.metrics.grpc_refused(CODES[refusal.reason].name)
            self._refuse(refusal)
        except Exception:
            logger.exception("internal error: this request failed")
            self._shared.metrics.grpc_refused(CODES["engine"].name)
            self._refuse(Refusal("engine", "the server failed on this request: see its log"))

    def _cancelled(self) -> None:
        """Handle that the client has left, its deadline has passed, or its message is too large."""
        call, self._call = self._call, None
        if call is None:
            self._shared.metrics.grpc_refused(grpc.StatusCode.CANCELLED.name)
        if self._leave is not None:
            self._leave()
        self._end(grpc.StatusCode.CANCELLED, call.bundle if call else ("", ""), is_held=call is not None)
        if call is not None:
            call.leave()  # it releases the memory

    def _answer(self, content: bytes, more: Metadata = (), bundle: tuple[str, str] = ("", "")) -> None:
        self._end(grpc.StatusCode.OK, bundle, bytes_out=len(content))
        self._rpc.answer(content, ((_REQUEST_ID, self._request_id), *more))

    def _refuse(self, refusal: Refusal, bundle: tuple[str, str] = ("", "")) -> None:
        trailing: Metadata = ((_REQUEST_ID, self._request_id),)
        if refusal.retry_after_s is not None:
            trailing += ((_PUSHBACK_MS, str(1000 * refusal.retry_after_s)),)
        code, text = CODES[refusal.reason], str(refusal)
        self._end(code, bundle, error=text)
        self._rpc.refuse(code, text, trailing)

    def _end(
        self,
        code: grpc.StatusCode,
        bundle: tuple[str, str],
        *,
        bytes_out: int = 0,
        error: str = "",
        is_held: bool = False,
    ) -> None:
        """End the call once; release its memory unless an inference request still holds it."""
        self._is_ended = True
        self._call = None
        self._stop_waiting()
        self._shared.busy -= 1
        if not is_held:
            self._claim.release()
        if self._shared.access_log is not None:
            self._log(self._shared.access_log, code.name, bundle, bytes_out, error)

    def _stop_waiting(self) -> None:
        """Stop the timer of the message, and release the memory that it reserved."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reserved_bytes:
            self._claim.release(self._reserved_bytes)
            self._shared.reserved_bytes -= self._reserved_bytes
            self._reserved_bytes = 0

    def _log(self, log: AccessLog, status: str, bundle: tuple[str, str], bytes_out: int, error: str) -> None:
        """Write the call to the access log."""
        peer = self._rpc.peer()
        forwarded = str(self._rpc.metadata.get("x-forwarded-for", ""))
        proxies = self._shared.limits.trusted_proxies
        log.write(
            client=proxies.client_of(peer, forwarded) if forwarded and proxies.trusts(peer) else peer,
            peer=peer,
            method="POST",
            path=self._rpc.path,
            status=status,
            bytes_in=self._received_bytes,
            bytes_out=bytes_out,
            begun=self._rpc.begun,
            request_id=self._request_id,
            model=self._model,
            bundle=bundle,
            error=error,
        )
