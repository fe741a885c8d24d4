"""The socket that everything is served from: bound before any model is loaded, and for as long as the server lives."""

import contextlib
import errno
import os
import socket

from edgecnn.errors import UsageError


def listen(host: str, port: int) -> socket.socket:
    """Bind the first address that a host has here, and listen.

    Raises:
        UsageError: the host is unknown, is none of this machine's, or the port is taken or reserved.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise UsageError(f"cannot listen on {host}: {error.strerror}") from None
    except (ValueError, OSError):  # what cannot be encoded as a name
        raise UsageError(f"cannot listen on {host!r}: it is neither a name nor an address") from None
    refusal: OSError | None = None
    for family, kind, protocol, _, address in found:
        try:
            return _bound(socket.socket(family, kind, protocol), address)
        except OSError as error:  # `localhost` may name an IPv6 address on a machine without IPv6
            refusal = refusal or error
    raise UsageError(_refused(host, port, refusal))


def url(listener: socket.socket, scheme: str) -> str:
    """Return where clients reach the socket."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{scheme}://{host}:{port}"


def _bound(listener: socket.socket, address: tuple[object, ...]) -> socket.socket:
    with contextlib.ExitStack() as undo:
        undo.callback(listener.close)
        # Connections of the last server that are still dying must not hold up the next one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
        undo.pop_all()
    return listener


def _refused(host: str, port: int, error: OSError | None) -> str:
    code = error.errno if error else 0
    if code == errno.EADDRINUSE:
        return f"port {port} of {host} is taken: end what uses it, or choose another with --port (0 for any free one)"
    if code in (errno.EACCES, errno.EPERM):
        return f"port {port} of {host} is reserved: choose one from 1024 with --port"
    if code == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: listen on 127.0.0.1, or on 0.0.0.0 for all of them"
    return f"cannot listen on port {port} of {host}: {os.strerror(code or 0)}"
