"""gRPC servers in an event loop of their own, without a process and without a model."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from grpc_asking import SERVICE
from http_site import LOOPS

from edgecnn.server.access_log import AccessLog
from edgecnn.server.api.service import Service
from edgecnn.server.credentials import Credentials
from edgecnn.server.grpc.server import GrpcServer
from edgecnn.server.http.limits import Limits
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.metrics import Metrics
from edgecnn.server.supervisor.listening import reserve

PATIENCE_S = 30.0


@dataclass
class Site:
    """A gRPC server in a separate event loop, with its parts."""

    server: GrpcServer
    service: Service
    metrics: Metrics
    address: str
    loop: asyncio.AbstractEventLoop

    def ask(self, call: str, message: bytes = b"") -> bytes:
        with grpc.insecure_channel(self.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            content = channel.unary_unary(SERVICE + call)(message, timeout=PATIENCE_S)
        assert isinstance(content, bytes)
        return content

    def stop(self, grace_s: float) -> bool:
        return asyncio.run_coroutine_threadsafe(self.server.stop(grace_s), self.loop).result(PATIENCE_S)


def after(event: threading.Event, message: bytes = b"") -> Iterator[bytes]:
    """Yield a message after an event."""
    event.wait(PATIENCE_S)
    yield message


@contextlib.contextmanager
def grpc_site(
    kind: str = "uvloop",
    host: str = "127.0.0.1",
    *,
    limits: Limits | None = None,
    budget_bytes: int = 1 << 30,
    credentials: Credentials | None = None,
    access_log: AccessLog | None = None,
) -> Iterator[Site]:
    """Start a server on an event loop of a kind in `LOOPS`, by default for at most four connections."""
    limits, credentials = limits or Limits(max_connections=4), credentials or Credentials(None, None)
    loop = LOOPS[kind]()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    service, metrics = Service({}, budget=MemoryBudget(budget_bytes), api_key=None), Metrics()

    async def start(address: str) -> GrpcServer:
        server = GrpcServer(service, metrics, limits, address=address, credentials=credentials, access_log=access_log)
        server.start()
        return server

    try:
        with contextlib.closing(reserve(host, 0)) as reserved:
            server = asyncio.run_coroutine_threadsafe(start(reserved.address), loop).result(PATIENCE_S)
            site = Site(server, service, metrics, reserved.address, loop)
            yield site
            site.stop(0)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
