"""One interface to HTTP and gRPC clients: an inference request in, logits or a rejection out."""

import contextlib
import http.client
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from asking import LENGTH
from grpc_asking import Asker, asking, counted
from infer_requests import Request, Tensor, grpc_message, http_body
from server_process import Reply, Server
from tritonclient.grpc import service_pb2

KINDS = {
    "400": "invalid", "401": "unauthorized", "403": "forbidden", "404": "not found", "413": "too large",
    "415": "invalid", "503": "unavailable", "504": "late",
    "INVALID_ARGUMENT": "invalid", "UNAUTHENTICATED": "unauthorized", "PERMISSION_DENIED": "forbidden",
    "NOT_FOUND": "not found", "UNIMPLEMENTED": "unimplemented", "RESOURCE_EXHAUSTED": "too large",
    "UNAVAILABLE": "unavailable", "DEADLINE_EXCEEDED": "late",
}  # fmt: skip
"""The kind of a rejection, by HTTP status and by gRPC code."""

_POOL = ThreadPoolExecutor(64)


@dataclass(frozen=True)
class Outcome:
    """Logits, or the kind and text of a rejection and its retry delay."""

    logits: np.ndarray | None = None
    kind: str = ""
    message: str = ""
    retry_s: float | None = None


class Client(ABC):
    """The common interface of the clients."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def infer(self, images: np.ndarray, *, shown: Mapping[str, str] | None = None, **parameters: Any) -> Outcome:
        """Send pixels, with headers or metadata in `shown`, and request parameters."""
        return self.send(Request([Tensor(images)], parameters=parameters), shown)

    def begin(self, images: np.ndarray, **parameters: Any) -> "Future[Outcome]":
        """Send pixels in another thread."""
        return _POOL.submit(self.infer, images, **parameters)

    @abstractmethod
    def send(self, request: Request, shown: Mapping[str, str] | None = None) -> Outcome:
        """Send a request, with headers or metadata in `shown`."""


class HttpClient(Client):
    """A client for HTTP, in the binary extension."""

    def send(self, request: Request, shown: Mapping[str, str] | None = None) -> Outcome:
        """See `Client.send`."""
        body, length = http_body(request, raw=True)
        path = f"/v2/models/{request.model or self.server.name}"
        path += f"/versions/{request.version}" if request.version else ""
        try:
            reply = self.server.request("POST", f"{path}/infer", body, {LENGTH: str(length), **(shown or {})})
        except (ConnectionError, http.client.HTTPException) as error:
            return Outcome(kind="unavailable", message=str(error))
        return self._outcome(reply)

    def _outcome(self, reply: Reply) -> Outcome:
        if reply.status != 200:
            retry = reply.headers.get("retry-after")
            return Outcome(None, KINDS[str(reply.status)], reply.error, retry and float(retry))
        (output,) = reply.json_part["outputs"]
        raw = reply.body[int(reply.headers[LENGTH.lower()]) :]
        return Outcome(np.frombuffer(raw, "<f4").reshape(output["shape"]))

    def health(self, shown: Mapping[str, str] | None = None) -> tuple[bool, bool]:
        """Return whether the server is live, and whether it is ready."""
        live, ready = (
            self.server.request("GET", f"/v2/health/{what}", None, dict(shown or {})).status
            for what in ("live", "ready")
        )
        assert {live, ready} <= {200, 503}
        return live == 200, ready == 200

    def refusals(self) -> float:
        """Return how many inference requests the server has rejected."""
        return self.server.metrics()["failed"]


class GrpcClient(Client):
    """A client for gRPC, on one connection."""

    def __init__(self, server: Server, asker: Asker) -> None:
        super().__init__(server)
        self._asker = asker

    def send(self, request: Request, shown: Mapping[str, str] | None = None) -> Outcome:
        """See `Client.send`."""
        message = service_pb2.ModelInferRequest.FromString(grpc_message(request, raw=True))
        message.model_name = request.model or self.server.name
        try:
            content, _ = self._asker.ask("ModelInfer", message, metadata=self._metadata(shown))
        except grpc.RpcError as error:
            retry_ms = dict(error.trailing_metadata()).get("grpc-retry-pushback-ms")
            retry_s = retry_ms and float(retry_ms) / 1000
            return Outcome(None, KINDS[error.code().name], error.details(), retry_s)
        answer = service_pb2.ModelInferResponse.FromString(content)
        return Outcome(np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(answer.outputs[0].shape))

    def health(self, shown: Mapping[str, str] | None = None) -> tuple[bool, bool]:
        """See `HttpClient.health`."""
        live, ready = (
            self._asker.ask(f"Server{what}", metadata=self._metadata(shown))[0] for what in ("Live", "Ready")
        )
        return live == b"\x08\x01", ready == b"\x08\x01"

    def refusals(self) -> float:
        """See `HttpClient.refusals`. A call rejected before its message counts for no model."""
        return self.server.metrics()["failed"] + sum(counted(self.server).values())

    def _metadata(self, shown: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
        given = {**self.server.headers, **(shown or {})}
        return tuple((name.lower(), value) for name, value in given.items())


@contextlib.contextmanager
def http_client(server: Server, certificate: bytes | None = None) -> Iterator[HttpClient]:
    """Yield an HTTP client; `server` has its TLS context."""
    yield HttpClient(server)


@contextlib.contextmanager
def grpc_client(server: Server, certificate: bytes | None = None) -> Iterator[GrpcClient]:
    """Yield a gRPC client; with a certificate it uses TLS."""
    credentials = None if certificate is None else grpc.ssl_channel_credentials(certificate)
    with asking(server, credentials=credentials) as asker:
        yield GrpcClient(server, asker)


Transport = Callable[..., AbstractContextManager[HttpClient | GrpcClient]]
TRANSPORTS: dict[str, Transport] = {"http": http_client, "grpc": grpc_client}


# Ways of a client to leave before the answer


@contextlib.contextmanager
def _http_leaver(server: Server, images: np.ndarray, *, resets: bool) -> Iterator[None]:
    body, length = http_body(Request([Tensor(images)]), raw=True)
    head = f"POST {server.infer_path} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Length: {len(body)}\r\n{LENGTH}: {length}\r\n\r\n"
    with server.connect() as sock:
        sock.sendall(head.encode() + body)
        yield
        if resets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextlib.contextmanager
def _grpc_leaver(server: Server, images: np.ndarray, *, cancels: bool) -> Iterator[None]:
    with asking(server) as asker:
        call = asker.begin("ModelInfer", asker.request(images))
        yield
        if cancels:
            call.cancel()


LEAVERS: dict[str, Callable[[Server, np.ndarray], AbstractContextManager[None]]] = {
    "http closes": lambda server, images: _http_leaver(server, images, resets=False),
    "http resets": lambda server, images: _http_leaver(server, images, resets=True),
    "grpc cancels": lambda server, images: _grpc_leaver(server, images, cancels=True),
    "grpc disconnects": lambda server, images: _grpc_leaver(server, images, cancels=False),
}
"""Each sends pixels on entry and leaves on exit."""
