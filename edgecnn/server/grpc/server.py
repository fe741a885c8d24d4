"""Answers gRPC calls in the worker's event loop: who may ask, what is asked, and how that ended.

Every call is taken as a stream of requests, of which the first is read: so a client is looked at before its message is
received, and may not take for ever to send it.
"""

import asyncio
import contextlib
import functools
import logging
import time
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from edgecnn.errors import UsageError
from edgecnn.protocol.api_key import shown_key
from edgecnn.protocol.grpc import messages
from edgecnn.protocol.grpc.request import receive
from edgecnn.protocol.http_headers import BUNDLE_DIGEST, REQUEST_ID, SERVER_TIMING
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.api.control_requests import check_parameters
from edgecnn.server.api.inference import Result
from edgecnn.server.api.request_ids import RequestIds
from edgecnn.server.api.result_headers import server_timing
from edgecnn.server.api.service import Service
from edgecnn.server.grpc.answers import ANSWERS, OPEN
from edgecnn.server.grpc.call import GrpcCall
from edgecnn.server.grpc.channel import credentials_of, options_of
from edgecnn.server.grpc.codes import CODES
from edgecnn.server.grpc.library_log import leave_out_mistakes
from edgecnn.server.http.limits import Limits
from edgecnn.server.metrics import Metrics

_PREFIX = f"/{messages.SERVICE.full_name}/"
_INFER, _LOAD, _UNLOAD = "ModelInfer", "RepositoryModelLoad", "RepositoryModelUnload"
_SMALL_MESSAGE = 64 << 10
"""Of what is no inference request."""
_POLL_S, _AGAIN_S = 0.01, 1.0
_VERDICT_S = 0.1
"""From the end of a call without a message until it is known why there is none."""

Metadata = tuple[tuple[str, str], ...]
_PUSHBACK_MS = "grpc-retry-pushback-ms"
"""When clients that try again by themselves should (gRPC proposal A6), as HTTP's `Retry-After`."""

logger = logging.getLogger(__name__)


class GrpcServer(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The service's gRPC server. Everything here happens in the event loop's thread."""

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
        """Prepare; nothing is accepted before `start`. Only within the event loop.

        Args:
            service: what is answered.
            metrics: of this server.
            limits: bounds, as HTTP's.
            address: to listen on, with its port.
            tls: certificate and key, as PEM files.
            access_log: whether every answer is a line in the log.
        """
        self._service = service
        self._metrics = metrics
        self._limits = limits
        self._access_log = access_log
        self._ids = RequestIds()
        self._busy = 0
        self._calls = {_PREFIX + name: self._call(name) for name in messages.REQUESTS}
        self._address, self._tls = address, tls
        self._is_stopping = False

    @property
    def busy(self) -> int:
        """Calls without their answers."""
        return self._busy

    async def start(self) -> None:
        """Accept connections from now on.

        Raises:
            UsageError: the address cannot be had.
        """
        leave_out_mistakes()
        self._server = await self._listening()
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self, grace_s: float) -> bool:
        """Accept nothing more, and close when everything is answered; returns whether it is."""
        self._is_stopping = True
        end = time.monotonic() + grace_s
        closing = asyncio.get_running_loop().create_task(self._server.stop(grace_s))
        while self._busy and time.monotonic() < end:
            await asyncio.sleep(_POLL_S)
        is_answered = not self._busy  # what is cut off now is not busy any more either
        await closing
        return is_answered

    async def _listening(self) -> Any:
        server = aio.server(options=options_of(self._limits))
        server.add_generic_rpc_handlers((self,))
        try:
            if self._tls is None:
                server.add_insecure_port(self._address)
            else:
                server.add_secure_port(self._address, credentials_of(*self._tls))
        except RuntimeError:
            raise UsageError(f"cannot listen for gRPC on {self._address}: something else does") from None
        await server.start()
        return server

    async def _keep(self) -> None:
        """Listen again where the library has ended: it does so by itself on a call whose name is no UTF-8."""
        while True:
            with contextlib.suppress(Exception):
                await self._server.wait_for_termination()
            if self._is_stopping:
                return
            logger.error("gRPC has stopped listening, and is started again")
            with contextlib.suppress(Exception):
                await self._server.stop(0)
            try:
                self._server = await self._listening()
            except UsageError as error:
                logger.error("%s", error)
                await asyncio.sleep(_AGAIN_S)

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        """Find what answers a call; see `grpc.GenericRpcHandler`. There is something for each, if only a refusal."""
        method: str = handler_call_details.method
        # No call's name begins with a slash: what has none of the service's names is not mistaken for one.
        return self._calls.get(method) or self._call(method if method.startswith("/") else f"/{method}")

    def _call(self, name: str) -> grpc.RpcMethodHandler:
        return grpc.stream_unary_rpc_method_handler(functools.partial(self._handle, name))

    async def _handle(self, name: str, _: object, context: Any) -> bytes:
        """Answer a call, once."""
        metadata = dict(context.invocation_metadata())
        shown: Metadata = ((REQUEST_ID.lower(), self._ids.of(metadata.get(REQUEST_ID.lower(), ""))),)
        self._busy += 1
        try:
            outcome, told = await self._outcome(name, metadata, context)
        except asyncio.CancelledError:
            self._log(name, "CANCELLED", shown)
            raise
        finally:
            self._busy -= 1
        if isinstance(outcome, bytes):
            self._log(name, "OK", shown)
            context.set_trailing_metadata(shown + told)
            return outcome
        code, text = outcome
        self._log(name, code.name, shown)
        # The library holds on to the frame that calls this until Python's garbage collector comes by: nothing large
        # may be within its reach.
        await context.abort(code, text, shown + told)
        raise AssertionError("it was aborted")

    async def _outcome(
        self, name: str, metadata: dict[str, str], context: Any
    ) -> tuple[bytes | tuple[grpc.StatusCode, str], Metadata]:
        """Return the answer's message or why there is none, and what is told beside it."""
        asked = await self._asked(name, metadata, context)
        outcome = await self._inferred(asked) if isinstance(asked, GrpcCall) else asked
        if isinstance(outcome, Refusal):
            again_s = outcome.retry_after_s
            told = () if again_s is None else ((_PUSHBACK_MS, str(1000 * again_s)),)
            return (CODES[outcome.reason], str(outcome)), told
        return outcome, _told_of(asked.result) if isinstance(asked, GrpcCall) else ()

    async def _asked(self, name: str, metadata: dict[str, str], context: Any) -> GrpcCall | bytes | Refusal:
        """Receive a call; return an inference that its model has begun with, or else what is answered."""
        try:
            if name in OPEN:  # nothing is in its message: neither that nor a bound on those that wait holds it up
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
        except asyncio.CancelledError:  # the client has left, or sent more than is received
            self._metrics.grpc_refused("CANCELLED")
            raise
        except Refusal as refusal:
            return self._refused(refusal)
        except Exception:
            logger.exception("a bug: this request failed")
            return self._refused(Refusal("engine", "the server failed on this request; its log says why"))

    def _refused(self, refusal: Refusal) -> Refusal:
        self._metrics.grpc_refused(CODES[refusal.reason].name)
        return refusal

    def _admit(self, name: str, metadata: dict[str, str]) -> None:
        """Look at a call before its message is received.

        Raises:
            Refusal: its client may not ask, there is no such call, or too many are not answered yet.
        """
        self._service.check_key(shown_key(metadata))
        if name not in messages.REQUESTS:
            raise Refusal("method", f"there is no call {quoted(name)} here")
        if self._busy > self._limits.max_connections:
            raise Refusal("busy", f"{self._busy - 1} calls wait already: try again later")
        if name == _INFER:
            self._service.check_serving()
            # The library takes calls up one after the other: under overload they would wait for that, and for their
            # messages, longer than they would for their answers.
            self._service.check_room()

    async def _read(self, context: Any) -> bytes:
        """Receive a call's message.

        Raises:
            Refusal: there is none, or it takes too long.
        """
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                content = await context.read()
        except TimeoutError:
            raise Refusal("slow", f"the message took longer than {self._limits.body_timeout_s:g} s") from None
        if not isinstance(content, bytes):
            await asyncio.sleep(_VERDICT_S)  # one that was too large has its answer, and is cancelled here meanwhile
            raise Refusal("invalid", "the call has no message")
        return content

    def _begun(self, content: bytes, begun: float, remaining_s: float | None) -> GrpcCall:
        """Begin with an inference request; from then on its model counts it.

        Raises:
            Refusal: it is none, or there is no such model.
        """
        received = receive(content)
        model = self._service.model(received.message.model_name, received.message.model_version)
        call = GrpcCall(received, asyncio.get_running_loop(), begun=begun, remaining_s=remaining_s)
        self._service.infer(model, call)
        return call

    async def _inferred(self, call: GrpcCall) -> bytes | Refusal:
        try:
            return await call.outcome
        except asyncio.CancelledError:
            call.leave()
            raise

    async def _control(self, name: str, message: Any) -> None:
        """Load or unload a model.

        Raises:
            Refusal: clients may not here, or it cannot be done.
        """
        self._service.check_control()
        check_parameters(message.parameters)
        done: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()

        def tell(refusal: Refusal | None) -> None:
            if not done.done():  # the client may have left
                done.set_result(refusal)

        leave = self._service.order("load" if name == _LOAD else "unload", message.model_name, tell)
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


def _told_of(result: Result | None) -> Metadata:
    """Return what is told of an answer beside it, as HTTP does in headers."""
    if result is None:
        return ()
    return (SERVER_TIMING.lower(), server_timing(result.timing)), (BUNDLE_DIGEST.lower(), result.version.bundle.digest)
