"""The gRPC server of a worker."""

import asyncio
import time

from edgecnn.server.access_log import AccessLog
from edgecnn.server.api.service import Service
from edgecnn.server.credentials import Credentials
from edgecnn.server.grpc.library import Library, Rpc
from edgecnn.server.grpc.listening import credentials_of, filter_library_log, options_of
from edgecnn.server.grpc.rpc_task import RpcTask, Shared
from edgecnn.server.http.limits import Limits
from edgecnn.server.metrics import Metrics

_POLL_S = 0.01


class GrpcServer:
    """The gRPC server. Create and use it in the event loop's thread; it accepts calls after `start`.

    The address includes the port. Without an `access_log`, calls are not logged.
    """

    def __init__(
        self,
        service: Service,
        metrics: Metrics,
        limits: Limits,
        *,
        address: str,
        credentials: Credentials,
        access_log: AccessLog | None,
    ) -> None:
        self._shared = Shared(service, metrics, limits, access_log)
        self._address = address
        self._credentials = credentials

    @property
    def busy(self) -> int:
        """Number of calls without a response."""
        return self._shared.busy

    def start(self) -> None:
        """Start to accept connections, in the running event loop.

        Raises:
            UsageError: the address is not available.
        """
        filter_library_log()
        self._library = Library(options_of(self._shared.limits), self._accept)
        self._library.start(self._address, credentials_of(self._credentials))

    async def stop(self, grace_s: float) -> bool:
        """Stop accepting calls, and close after the last response; return whether all calls were answered."""
        end = time.monotonic() + grace_s
        closing = self._library.refuse_calls()
        while not closing.done() and time.monotonic() < end:
            await asyncio.sleep(_POLL_S)
        is_answered = not self.busy
        if not closing.done():
            self._library.cancel_calls()
        await closing
        return is_answered

    def _accept(self, rpc: Rpc) -> None:
        RpcTask(self._shared, rpc).begin()
