"""The open connections of a listener, in all and by address, and which of them makes room for a new one.

The connection that has been without a whole request for the longest time makes room: an idle one, one with a part of a
request, or one that does not read its response. A connection whose request is being answered stays open.
"""

import logging
import math
import time
from operator import itemgetter
from typing import Protocol

from edgecnn.server.http.limits import Limits
from edgecnn.server.proxies import holder

RECENT_S = 1.0
"""Time after a response in which a connection makes no room: its client reads, or the next request is on the way."""
NEW_S = 0.25
"""The same after a connection is accepted: its request is on the way."""
_SCARCE = 7 / 8
"""Share of a limit above which a connection ends with its response, so that later no idle one has to be closed."""
_CANDIDATES = 64
"""Number of connections that one search remembers."""
_SEARCH_S = 0.05
"""Time in which the result of a search is used."""
_REPORT_S = 60.0
"""Minimum time between two warnings."""

logger = logging.getLogger(__name__)


class Occupant(Protocol):
    """A connection."""

    @property
    def group(self) -> "Group":
        """The connections of the same address."""
        ...

    @property
    def waiting_since(self) -> float:
        """When the last response was written, or the connection accepted; infinite while a request is answered."""
        ...

    def is_recent(self, now: float) -> bool:
        """Return whether the client is active: the time of `RECENT_S` or `NEW_S` has not passed."""
        ...

    def evict(self) -> None:
        """Close the connection at once."""
        ...


class Group:
    """Open connections with a common limit.

    Attributes:
        name: the address of the connections.
        is_proxy: whether the address is a trusted proxy.
        is_scarce: whether most of the limit is used.
    """

    __slots__ = ("_candidates", "_connections", "_limit", "_searched", "is_proxy", "is_scarce", "name")

    def __init__(self, name: str, limit: float, *, is_proxy: bool = False) -> None:
        self.name = name
        self.is_proxy = is_proxy
        self.is_scarce = False
        self._limit = limit
        self._connections: set[Occupant] = set()
        self._candidates: list[tuple[float, Occupant]] = []
        self._searched = -math.inf

    def __len__(self) -> int:
        return len(self._connections)

    def __contains__(self, connection: object) -> bool:
        return connection in self._connections

    @property
    def is_full(self) -> bool:
        """Whether another connection exceeds the limit."""
        return len(self._connections) >= self._limit

    def add(self, connection: Occupant) -> None:
        """Add an open connection."""
        self._connections.add(connection)
        self.is_scarce = len(self._connections) > _SCARCE * self._limit

    def remove(self, connection: Occupant) -> None:
        """Remove a connection."""
        self._connections.discard(connection)
        self.is_scarce = len(self._connections) > _SCARCE * self._limit

    def longest_waiting(self, now: float) -> Occupant | None:
        """Return the connection that has been without a whole request for the longest time, recent ones last.

        Return None if all are in use. A search goes through all connections, so its result serves the next calls too:
        the connections that it did not remember have waited for a shorter time.
        """
        while self._candidates and now - self._searched < _SEARCH_S:
            since, first = self._candidates[-1]
            if first in self._connections and first.waiting_since == since:
                return first
            self._candidates.pop()
        self._searched = now
        found = [(each.is_recent(now), each.waiting_since, each) for each in self._connections]
        found = sorted((each for each in found if each[1] < math.inf), key=itemgetter(0, 1))
        self._candidates = [each[1:] for each in reversed(found[:_CANDIDATES])]
        return found[0][2] if found else None


class Slots:
    """The open connections of a listener.

    Attributes:
        all: every open connection, with TLS handshakes.
        evicted: number of connections that made room for another one.
        refused: number of connections that were closed because their address had too many in use.
    """

    def __init__(self, limits: Limits) -> None:
        self.all = Group("", limits.max_connections)
        self.evicted = 0
        self.refused = 0
        self._limits = limits
        self._by_address: dict[str, Group] = {}
        self._reported = (0, 0)
        self._busiest = ("", 0)  # the address with the most connections since the last report, and their number
        self._next_report = -math.inf

    def group_of(self, peer: str) -> Group:
        """Return the group of an address; trusted proxies and sockets without addresses have no limit."""
        limits = self._limits
        is_proxy = limits.trusted_proxies.trusts(peer)
        address = peer if is_proxy else holder(peer)
        group = self._by_address.get(address)
        if group is None:
            limit = limits.max_connections_per_address
            # At the limit of all connections, new ones wait instead of being refused.
            is_free = is_proxy or not peer or not limit or limit >= limits.max_connections
            group = Group(address, math.inf if is_free else limit, is_proxy=is_proxy)
        return group

    def add(self, connection: Occupant) -> None:
        """Add an open connection."""
        group = connection.group
        self.all.add(connection)
        group.add(connection)
        self._by_address[group.name] = group

    def remove(self, connection: Occupant) -> None:
        """Remove a connection; it may be removed twice."""
        group = connection.group
        self.all.remove(connection)
        group.remove(connection)
        if not group and self._by_address.get(group.name) is group:
            del self._by_address[group.name]

    def has_room(self) -> bool:
        """Return whether there is room for another connection, or one can make room."""
        return not self.all.is_full or self._spare(time.monotonic()) is not None

    def make_room(self, group: Group) -> bool:
        """Make room for a connection of a group; return whether there is room now."""
        if group.is_full and not self._evict(group.longest_waiting(time.monotonic())):
            self.refused += 1
            self._note(group)
            return False
        return not self.all.is_full or self._evict(self._spare(time.monotonic()))

    def report(self) -> None:
        """Log a warning if connections made room or were refused since the last one, at most once a minute."""
        counts = (self.evicted, self.refused)
        now = time.monotonic()
        if counts == self._reported or now < self._next_report:
            return
        address, connections = self._busiest
        logger.warning(
            "too many connections: those without a whole request for the longest time were closed",
            extra={
                "evicted": counts[0] - self._reported[0],
                "refused": counts[1] - self._reported[1],
                "open": len(self.all),
                "busiest_address": address,
                "most_of_one_address": connections,
            },
        )
        self._reported = counts
        self._busiest = ("", 0)
        self._next_report = now + _REPORT_S

    def _spare(self, now: float) -> Occupant | None:
        """Return the connection that makes room, unless its client is active."""
        found = self.all.longest_waiting(now)
        return None if found is None or found.is_recent(now) else found

    def _evict(self, connection: Occupant | None) -> bool:
        if connection is None:
            return False
        self.evicted += 1
        self._note(connection.group)
        self.remove(connection)
        connection.evict()
        return True

    def _note(self, group: Group) -> None:
        if len(group) > self._busiest[1]:
            self._busiest = (group.name, len(group))
