"""The ports of the server: bound before any model is loaded, and until the server ends."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from edgecnn.errors import UsageError

_SHARES = hasattr(socket, "SO_REUSEPORT")
"""Whether two sockets may be bound to one port; not on Windows."""


@dataclass(frozen=True)
class Reserved:
    """A port that the worker binds; `address` includes it, as in a URL.

    The holder is a bound socket that does not listen. It reserves the port while the worker restarts, and clients are
    refused at once. It is None if the system cannot share a port.
    """

    address: str
    holder: socket.socket | None

    def close(self) -> None:
        """Release the port."""
        if self.holder is not None:
            self.holder.close()


def listen(host: str, port: int) -> socket.socket:
    """Bind the first local address of a host, and listen.

    Raises:
        UsageError: the host is unknown or not local, or the port is in use or needs more privileges.
    """
    return _first(host, port, "--port", _listening)


def reserve(host: str, port: int) -> Reserved:
    """Bind a port of the first local address of a host, for gRPC, which takes an address instead of a socket.

    Raises:
        UsageError: as `listen`.
    """
    # First without sharing: a shared bind does not fail if the port is in use.
    with _first(host, port, "--grpc-port", _listening) as alone:
        port, address = alone.getsockname()[1], address_of(alone)
    return Reserved(address, _first(host, port, "--grpc-port", _sharing) if _SHARES else None)


def url(listener: socket.socket, scheme: str) -> str:
    """Return the URL of a listening socket."""
    return f"{scheme}://{address_of(listener)}"


def address_of(bound: socket.socket) -> str:
    """Return a socket's address with its port."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{host}:{port}"


def _first(
    host: str, port: int, option: str, bind: Callable[[socket.socket, tuple[object, ...]], None]
) -> socket.socket:
    """Bind the first address that can be bound."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise UsageError(f"cannot listen on {host}: {error.strerror}") from None
    except (ValueError, OSError):  # the name cannot be encoded
        raise UsageError(f"cannot listen on {host!r}: it is neither a name nor an address") from None
    refusal: OSError | None = None
    for family, kind, protocol, _, address in found:
        try:
            with contextlib.ExitStack() as undo:
                bound = undo.enter_context(socket.socket(family, kind, protocol))
                bind(bound, address)
                undo.pop_all()
            return bound
        except OSError as error:  # `localhost` may name an IPv6 address on a machine without IPv6
            refusal = refusal or error
    raise UsageError(_refused(host, port, option, refusal))


def _listening(bound: socket.socket, address: tuple[object, ...]) -> None:
    # Connections of the previous server in TIME_WAIT must not block the port.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(address)
    bound.listen(socket.SOMAXCONN)


def _sharing(bound: socket.socket, address: tuple[object, ...]) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        # Connections of a previous server are in TIME_WAIT. SO_REUSEADDR is not set before, since a port that is bound
        # with it and has no listener looks free to other servers.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)


def _refused(host: str, port: int, option: str, error: OSError | None) -> str:
    code = error.errno if error else 0
    if code == errno.EADDRINUSE:
        return f"port {port} of {host} is already in use: stop that process, or choose another port with {option}"
    if code in (errno.EACCES, errno.EPERM):
        return f"port {port} of {host} needs more privileges: choose a port from 1024 with {option}"
    if code == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: use 127.0.0.1, or 0.0.0.0 for all interfaces"
    return f"cannot listen on port {port} of {host}: {os.strerror(code or 0)}"
