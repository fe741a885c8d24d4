"""Answer gRPC calls in the worker's event loop: check the client, dispatch the call, and report its status.

Each call is registered as a stream of requests, and only the first is read. So the client is checked before its message
is received, and the time for the message is limited.
"""

import asyncio
import contextlib
import functools
import logging
import time
from pathlib import Path
from typing import Any

import grpc

from edgecnn.errors import UsageError
from edgecnn.protocol.api_key import shown_key
from edgecnn.protocol.grpc import messages
from edgecnn.protocol.grpc.request import receive
from edgecnn.protocol.http_headers import REQUEST_ID
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.api.control_requests import check_parameters
from edgecnn.server.api.service import Service
from edgecnn.server.grpc.answers import ANSWERS, CODES, OPEN
from edgecnn.server.grpc.call import GrpcCall
from edgecnn.server.grpc.listening import filter_library_log, listen
from edgecnn.server.http.limits import Limits
from edgecnn.server.metrics import Metrics

_PREFIX = f"/{messages.SERVICE.full_name}/"
_INFER, _LOAD, _UNLOAD = "ModelInfer", "RepositoryModelLoad", "RepositoryModelUnload"
_SMALL_MESSAGE = 64 << 10
"""Maximum size of a message, except for inference."""
_POLL_S, _AGAIN_S = 0.01, 1.0
_VERDICT_S = 0.1
"""Time in which the library cancels a call whose message is too large."""

Metadata = tuple[tuple[str, str], ...]
_PUSHBACK_MS = "grpc-retry-pushback-ms"
"""Delay before a retry (gRPC proposal A6), like HTTP's `Retry-After` header."""

logger = logging.getLogger(__name__)


class GrpcServer(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The gRPC server. Create and use it in the event loop's thread; it accepts calls after `start`.

    The address includes the port. `tls` contains the paths of the certificate and its key in PEM.
    """

    def __init__(
        self,
        service: Service,
        metrics: Metrics,
        limits: Limits,
        *,
        address: str,
        tls: tuple[Path, Path] | None,
        access_log: bool,
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._limits = limits
        self._access_log = access_log
        self.busy = 0  # calls without a response
        self._calls = {_PREFIX + name: self._call(name) for name in messages.REQUESTS}
        self._listen = functools.partial(listen, self, limits, address=address, tls=tls)
        self._is_stopping = False

    async def start(self) -> None:
        """Start to accept connections.

        Raises:
            UsageError: the address is not available.
        """
        filter_library_log()
        self._server = await self._listen()
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self, grace_s: float) -> bool:
        """Stop accepting calls, and close after the last response; return whether all calls were answered."""
        self._is_stopping = True
        end = time.monotonic() + grace_s
        closing = asyncio.get_running_loop().create_task(self._server.stop(grace_s))
        while self.busy and time.monotonic() < end:
            await asyncio.sleep(_POLL_S)
        is_answered = not self.busy  # before `closing` cancels pending calls, which also lowers `busy`
        await closing
        return is_answered

    async def _keep(self) -> None:
        """Restart the library's server if it stops, as it does on a call name that is not UTF-8."""
        while True:
            with contextlib.suppress(Exception):
                await self._server.wait_for_termination()
            if self._is_stopping:
                return
            logger.error("the gRPC server stopped: restarting it")
            with contextlib.suppress(Exception):
                await self._server.stop(0)
            try:
                self._server = await self._listen()
            except UsageError as error:
                logger.error("%s", error)
                await asyncio.sleep(_AGAIN_S)

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        """Return the handler of a call; it refuses an unknown call. See `grpc.GenericRpcHandler`."""
        method: str = handler_call_details.method
        # A name without the service's prefix matches no call.
        return self._calls.get(method) or self._call(method if method.startswith("/") else f"/{method}")

    def _call(self, name: str) -> grpc.RpcMethodHandler:
        return grpc.stream_unary_rpc_method_handler(functools.partial(self._handle, name))

    async def _handle(self, name: str, _: object, context: Any) -> bytes:
        """Answer a call."""
        metadata = dict(context.invocation_metadata())
        shown: Metadata = ((REQUEST_ID.lower(), self._service.request_id(metadata.get(REQUEST_ID.lower(), ""))),)
        self.busy += 1
        try:
            outcome, trailing = await self._outcome(name, metadata, context)
        except asyncio.CancelledError:
            self._log(name, "CANCELLED", shown)
            raise
        finally:
            self.busy -= 1
        if isinstance(outcome, bytes):
            self._log(name, "OK", shown)
            context.set_trailing_metadata(shown + trailing)
            return outcome
        code, text = outcome
        self._log(name, code.name, shown)
        # The library references this frame until the next garbage collection, so the frame must not hold large
        # objects.
        await context.abort(code, text, shown + trailing)
        raise AssertionError("context.abort must raise")

    async def _outcome(
        self, name: str, metadata: dict[str, str], context: Any
    ) -> tuple[bytes | tuple[grpc.StatusCode, str], Metadata]:
        """Return the response's message or its error, and the trailing metadata."""
        asked = await self._asked(name, metadata, context)
        outcome: bytes | Refusal
        if isinstance(asked, GrpcCall):
            try:
                outcome = await asked.outcome
            except asyncio.CancelledError:
                asked.leave()
                raise
        else:
            outcome = asked
        if isinstance(outcome, Refusal):
            again_s = outcome.retry_after_s
            trailing = () if again_s is None else ((_PUSHBACK_MS, str(1000 * again_s)),)
            return (CODES[outcome.reason], str(outcome)), trailing
        if not isinstance(asked, GrpcCall) or asked.result is None:
            return outcome, ()
        return outcome, tuple((name.lower(), value) for name, value in asked.result.headers())

    async def _asked(self, name: str, metadata: dict[str, str], context: Any) -> GrpcCall | bytes | Refusal:
        """Receive a call; return a started inference request, or the response to another call."""
        try:
            if name in OPEN:  # answered without its message and above the limit of calls
                return messages.answer(name, ANSWERS[name](self._service, None))
            self._admit(name, metadata)
            begun, remaining_s = time.monotonic(), context.time_remaining()
            content = await self._read(context)
            if name == _INFER:
                return self._begun(content, begun, remaining_s)
            if len(content) > _SMALL_MESSAGE:
                raise Refusal("too_large", f"expected at most {_SMALL_MESSAGE} bytes, found {len(content)}")
            message = messages.request(name, content)
            if name in {_LOAD, _UNLOAD}:
                await self._control(name, message)
                return messages.answer(name, {})
            return messages.answer(name, ANSWERS[name](self._service, message))
        except asyncio.CancelledError:  # the client disconnected, or its message is too large
            self._metrics.grpc_refused("CANCELLED")
            raise
        except Refusal as refusal:
            return self._refused(refusal)
        except Exception:
            logger.exception("internal error: this request failed")
            return self._refused(Refusal("engine", "the server failed on this request: see its log"))

    def _refused(self, refusal: Refusal) -> Refusal:
        self._metrics.grpc_refused(CODES[refusal.reason].name)
        return refusal

    def _admit(self, name: str, metadata: dict[str, str]) -> None:
        """Check a call before its message is received.

        Raises:
            Refusal: the API key is missing or wrong, the call does not exist, or too many calls are pending.
        """
        self._service.check_key(shown_key(metadata))
        if name not in messages.REQUESTS:
            raise Refusal("method", f"unknown call {quoted(name)}")
        if self.busy > self._limits.max_connections:
            raise Refusal("busy", f"{self.busy - 1} calls are already queued: try again later")
        if name == _INFER:
            self._service.check_serving()
            # The library accepts calls one by one. Under overload, this and their messages would take longer than
            # their responses.
            self._service.check_room()

    async def _read(self, context: Any) -> bytes:
        """Receive a call's message.

        Raises:
            Refusal: the message is missing or takes too long.
        """
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                content = await context.read()
        except TimeoutError:
            raise Refusal("slow", f"the message took longer than {self._limits.body_timeout_s:g} s") from None
        if not isinstance(content, bytes):
            await asyncio.sleep(_VERDICT_S)  # the library cancels a call whose message is too large
            raise Refusal("invalid", "expected a message, found none")
        return content

    def _begun(self, content: bytes, begun: float, remaining_s: float | None) -> GrpcCall:
        """Start an inference request.

        Raises:
            Refusal: the message is malformed, or the model does not exist.
        """
        received = receive(content)
        model = self._service.model(received.message.model_name, received.message.model_version)
        claim = self._service.budget.claim()
        call = GrpcCall(received, asyncio.get_running_loop(), claim=claim, begun=begun, remaining_s=remaining_s)
        self._service.infer(model, call)
        return call

    async def _control(self, name: str, message: Any) -> None:
        """Load or unload a model.

        Raises:
            Refusal: clients may not load models, or the order failed.
        """
        queue = self._service.require_load_queue()
        check_parameters(message.parameters)
        done: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()

        def finish(refusal: Refusal | None) -> None:
            if not done.done():  # the client may have disconnected
                done.set_result(refusal)

        leave = queue.put("load" if name == _LOAD else "unload", message.model_name, finish)
        try:
            refusal = await done
        except asyncio.CancelledError:
            leave()
            raise
        if refusal is not None:
            raise refusal

    def _log(self, name: str, code: str, shown: Metadata) -> None:
        if self._access_log:
            logger.info("answered", extra={"call": name, "code": code, "id": shown[0][1]})
