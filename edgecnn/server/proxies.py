"""Addresses of clients: trusted proxies, `X-Forwarded-For`, and the addresses that share one limit of connections."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from edgecnn.errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_PROXIES = 32
"""Maximum number of proxies in one `X-Forwarded-For` that are read; a client can send any number."""
_LONGEST_ADDRESS = 64
"""Maximum number of characters of an address, so that long texts do not fill the cache."""
_SITE_BITS = 64
"""Length of the IPv6 prefix that one client usually has for itself (RFC 6177)."""


@dataclass(frozen=True)
class TrustedProxies:
    """The networks of the proxies whose `X-Forwarded-For` is believed."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "TrustedProxies":
        """Read comma-separated addresses and networks, such as `10.0.0.0/8,::1`; empty parts are ignored.

        Raises:
            UsageError: a part is neither an address nor a network.
        """
        parts = [part.strip() for part in text.split(",")]
        return cls(tuple(_network(part) for part in parts if part))

    def trusts(self, peer: str) -> bool:
        """Return whether an address belongs to a trusted proxy."""
        address = parse_address(peer)
        return address is not None and self._contains(address)

    def client_of(self, peer: str, forwarded: str) -> str:
        """Return the client of a request that the trusted proxy `peer` passed on.

        `forwarded` is the value of `X-Forwarded-For`. Each proxy appends the address it received the request from, so
        the client is the last address that is not a trusted proxy; the addresses before it are not reliable. If all
        are trusted, it is the first one. If an address on the way is malformed, it is `peer`.
        """
        client = peer
        for part in reversed(forwarded.rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:]):
            address = parse_address(_without_port(part.strip(" \t")))
            if address is None:
                return peer
            client = str(address)
            if not self._contains(address):
                break
        return client

    def _contains(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def parse_address(text: str) -> Address | None:
    """Read an IP address; an IPv4 address mapped to IPv6 becomes IPv4. Return None if it is malformed."""
    return _parsed(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def plain(peer: str) -> str:
    """Return a socket's address in its shortest form; other text is returned unchanged."""
    address = parse_address(peer)
    return peer if address is None else str(address)


def holder(peer: str) -> str:
    """Return the address whose connections are counted together: an IPv4 address, or the /64 network of an IPv6 one."""
    address = parse_address(peer)
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.IPv6Network((int(address), _SITE_BITS), strict=False))
    return peer


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        reason = "has bits after the prefix" if "host bits" in str(error) else "is neither"
        raise UsageError(
            f"--trusted-proxies must contain addresses or networks, such as 10.0.0.0/8, separated by commas: {text!r} "
            f"{reason}"
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        return ipaddress.IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def _without_port(text: str) -> str:
    """Return an address without brackets and port: some proxies append them (`1.2.3.4:5678`, `[::1]:80`)."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    address, found, port = text.partition(":")
    return address if found and "." in address and port.isdigit() else text
