"""The gRPC library's server in an event loop: its calls arrive, and are answered, in the loop's thread.

`grpc.aio` and `grpc.server` pass each call through several threads and tasks, which takes more time than an inference
of a small model. This module uses the completion queue below `grpc.server` (`grpc._cython.cygrpc`), which is not a
public interface (docs/decisions/013). The tests of this package show whether a new version of the library still has it.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import grpc
from grpc._cython import cygrpc

from edgecnn.errors import UsageError
from edgecnn.hints import install_command
from edgecnn.server.proxies import plain

_AWAITED_CALLS = 8
"""Calls that the library may accept before the event loop's thread asks for the next ones."""
_MAX_EVENTS = 32
"""Events that are handled before other callbacks of the event loop run."""
_NO_DEADLINE_S = 1e9
_NO_FLAGS = 0
_OK = 0

_NAMES = (
    "CompletionQueue",
    "CompletionType",
    "ReceiveCloseOnServerOperation",
    "ReceiveMessageOperation",
    "SendInitialMetadataOperation",
    "SendMessageOperation",
    "SendStatusFromServerOperation",
    "Server",
)
"""What this module uses of the library, besides its public interface."""

Metadata = tuple[tuple[str, str], ...]

logger = logging.getLogger(__name__)


class Rpc:
    """One call. Use it in the event loop's thread.

    Attributes:
        path: the name of the call, such as `/inference.GRPCInferenceService/ModelInfer`.
        metadata: the last value of each name; values of names in `-bin` are bytes.
        begun: when the call arrived, by the monotonic clock.
        timeout_s: the client's timeout from then on; None without one.
        on_cancelled: called once if the call is cancelled before its answer: by its client, its deadline, or because
            its message is too large.
    """

    __slots__ = ("_call", "_is_ended", "begun", "metadata", "on_cancelled", "path", "timeout_s")

    def __init__(self, event: Any) -> None:
        self.begun = time.monotonic()
        self.path = event.call_details.method.decode(errors="replace")
        self.metadata: dict[str, Any] = dict(event.invocation_metadata)
        self.on_cancelled: Callable[[], object] | None = None
        left_s = event.call_details.deadline - time.time()
        self.timeout_s: float | None = None if left_s > _NO_DEADLINE_S else max(0.0, left_s)
        self._call = event.call
        self._is_ended = False
        self._call.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), self._closed)

    def peer(self) -> str:
        """Return the IP address of the connection's other end; empty if it has none."""
        _, _, address = unquote(self._call.peer().decode()).partition(":")
        return plain(address.rpartition(":")[0].strip("[]"))

    def receive(self, then: Callable[[bytes | None], object]) -> None:
        """Receive the next message; `then` takes it, or None if there is none or the call was cancelled."""
        operations = (cygrpc.ReceiveMessageOperation(_NO_FLAGS),)
        self._call.start_server_batch(operations, lambda event: then(event.batch_operations[0].message()))

    def answer(self, content: bytes, trailing: Metadata) -> None:
        """Send the message of the response and the status OK."""
        message = cygrpc.SendMessageOperation(content, _NO_FLAGS)
        self._send(cygrpc.SendStatusFromServerOperation(trailing, _OK, b"", _NO_FLAGS), message)

    def refuse(self, code: grpc.StatusCode, text: str, trailing: Metadata) -> None:
        """Send an error."""
        self._send(cygrpc.SendStatusFromServerOperation(trailing, code.value[0], text.encode(), _NO_FLAGS))

    def _send(self, *operations: Any) -> None:
        """Send a response, unless the call has ended."""
        if not self._is_ended:
            self._is_ended = True
            self.on_cancelled = None
            metadata = cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS)
            self._call.start_server_batch((metadata, *operations), _ignore)

    def _closed(self, event: Any) -> None:
        """Handle the end of the call, which follows an answer too."""
        if event.batch_operations[0].cancelled() and not self._is_ended:
            self._is_ended = True
            on_cancelled, self.on_cancelled = self.on_cancelled, None
            if on_cancelled is not None:
                on_cancelled()


class Library:
    """A server of the library on one address. Create and use it in the event loop's thread."""

    def __init__(self, options: list[tuple[str, int]], accept: Callable[[Rpc], object]) -> None:
        """Create a server. `accept` is called with each call.

        Raises:
            UsageError: the installed version of the library lacks the completion queue.
        """
        if missing := [name for name in _NAMES if not hasattr(cygrpc, name)]:
            raise UsageError(
                f"grpcio {grpc.__version__} cannot be used: it has no {missing[0]}; "
                f"install a supported version: {install_command('grpc')}"
            )
        self._loop = asyncio.get_running_loop()
        self._accept = accept
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(tuple(options), False)  # without xDS
        self._server.register_completion_queue(self._queue)
        self._ended: asyncio.Future[None] | None = None  # set when the server stops
        self._is_idle = threading.Semaphore(0)

    def start(self, address: str, credentials: grpc.ServerCredentials | None) -> None:
        """Listen on an address with its port, and accept calls.

        Raises:
            UsageError: the address is not available.
        """
        secure = () if credentials is None else (credentials._credentials,)
        try:
            port = self._server.add_http2_port(address.encode(), *secure)
        except RuntimeError:
            port = 0
        if not port:
            self._queue.shutdown()
            raise UsageError(f"cannot listen for gRPC on {address}: the address is not available")
        self._server.start()
        for _ in range(_AWAITED_CALLS):
            self._await_call()
        threading.Thread(target=self._wait, name="edgecnn-grpc", daemon=True).start()

    def refuse_calls(self) -> "asyncio.Future[None]":
        """Accept no more calls; the result is set after the last response is sent. It may be called again."""
        if self._ended is None:
            self._ended = self._loop.create_future()
            self._server.shutdown(self._queue, self._end)
        return self._ended

    def cancel_calls(self) -> None:
        """Cancel all calls, after `refuse_calls`."""
        self._server.cancel_all_calls()

    def _end(self, event: Any) -> None:
        """Close the server after its last call."""
        assert self._ended is not None
        self._server.destroy()
        self._queue.shutdown()
        self._ended.set_result(None)

    def _await_call(self) -> None:
        self._server.request_call(self._queue, self._queue, self._arrived)

    def _arrived(self, event: Any) -> None:
        if not event.success:  # the server stops
            return
        if self._ended is None:
            self._await_call()
        self._accept(Rpc(event))

    def _wait(self) -> None:
        """Wait for an event while the event loop's thread waits too; then that thread takes all further events.

        So a burst of events wakes the event loop once, and this thread does not compete for Python's lock.
        """
        while True:
            event = self._queue.poll()
            try:
                self._loop.call_soon_threadsafe(self._handle, event)
            except RuntimeError:  # the loop has ended
                return
            if _is_last(event):
                return
            del event  # it references the call
            self._is_idle.acquire()

    def _handle(self, event: Any) -> None:
        """Handle an event and the ready ones after it."""
        for _ in range(_MAX_EVENTS):
            if _is_last(event):
                self._is_idle.release()
                return
            try:
                event.tag(event)
            except Exception:
                logger.exception("a bug: a gRPC event was not handled")
            event = self._queue.poll(0)
            if _is_timeout(event):
                break
        else:
            self._loop.call_soon(self._handle, event)
            return
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Handle the events of the last turn of the event loop; without any, let `_wait` go on."""
        event = self._queue.poll(0)
        if _is_timeout(event):
            self._is_idle.release()
        else:
            self._handle(event)


def _is_timeout(event: Any) -> bool:
    return bool(event.completion_type == cygrpc.CompletionType.queue_timeout)


def _is_last(event: Any) -> bool:
    return bool(event.completion_type == cygrpc.CompletionType.queue_shutdown)


def _ignore(event: Any) -> None:
    """Handle the end of sending a response: there is nothing to do."""
