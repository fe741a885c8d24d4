"""The attacked server, as its attackers and its clients see it."""

import ssl
from dataclasses import dataclass
from pathlib import Path

SERVER = "127.0.0.1"
API_KEY = "attack-suite-key"


@dataclass(frozen=True)
class Target:
    """One running server.

    Attributes:
        port: for HTTP.
        grpc_port: for gRPC.
        model: name of the model.
        worker_pid: process that answers requests.
        certificate: of a server with TLS, which is its own authority.
        has_key: whether requests need `API_KEY`.
        request: a small inference request with its key; its answer is known.
        right_body: the body of that answer.
    """

    port: int
    grpc_port: int
    model: str
    worker_pid: int
    certificate: Path | None = None
    has_key: bool = False
    request: bytes = b""
    right_body: bytes = b""

    @property
    def infer_path(self) -> str:
        """Return the path of an inference request."""
        return f"/v2/models/{self.model}/infer"

    @property
    def key_header(self) -> str:
        """Return the header line of the API key; empty if the server has none."""
        return f"X-API-Key: {API_KEY}\r\n" if self.has_key else ""

    def tls(self) -> ssl.SSLContext | None:
        """Return a context that trusts the server; None without TLS."""
        return ssl.create_default_context(cafile=self.certificate) if self.certificate else None


def source(number: int, addresses: int) -> tuple[str, int] | None:
    """Return the local address of a client: the one of all other clients, or one of many on the loopback."""
    return None if addresses < 2 else (f"127.0.1.{1 + number % min(addresses, 250)}", 0)


def get(path: str, extra: str = "") -> bytes:
    """Return a GET request; `extra` contains header lines, each with its line end."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode()


def post(path: str, extra: str, body: bytes, *, length: int | None = None) -> bytes:
    """Return a POST request with a body, or with the beginning of a body of `length` bytes."""
    length = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{extra}Content-Length: {length}\r\n\r\n".encode() + body
