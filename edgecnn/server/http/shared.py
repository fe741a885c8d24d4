"""What the connections of a listener have in common."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from edgecnn.server.http.limits import Limits
from edgecnn.server.http.message import Application

_TCP_INFO = getattr(socket, "TCP_INFO", None)
"""Linux; elsewhere nobody can be asked."""
TCP_CLOSED = 7
TCP_CLOSE_WAIT = 8


@dataclass(slots=True)
class Shared:
    """One object for all connections, written by the listener alone but for `busy`.

    Attributes:
        application: answers.
        limits: bounds.
        lost: is told of a connection that is no more.
        date: the Date header's line; a few answers a second need no clock each.
        draining: whether every answer is the last of its connection.
        busy: requests that wait for their answers.
    """

    application: Application
    limits: Limits
    lost: Callable[[object], None]
    date: str = ""
    draining: bool = False
    busy: int = 0


def tcp_state(sock: socket.socket) -> int | None:
    """Return the state that Linux has a connection in; None where there is none to be had.

    `TCP_CLOSED` is that of one which the other side has reset, and of one that is closed here.
    """
    if _TCP_INFO is None:
        return None
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]
    except OSError:
        return TCP_CLOSED if sock.fileno() < 0 else None
