"""Tests of trusted proxies, `X-Forwarded-For`, and the addresses that share a limit."""

import pytest

from edgecnn.errors import UsageError
from edgecnn.server.options import ServeOptions
from edgecnn.server.proxies import TrustedProxies, holder, plain

PROXIES = TrustedProxies.parse(" 10.0.0.0/8, ::1,127.0.0.1,,::ffff:192.168.0.0/112")


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "::1", "127.0.0.1", "192.168.255.1"])
def test_trusts_addresses_of_the_networks(peer: str):
    assert PROXIES.trusts(peer)


@pytest.mark.parametrize("peer", ["11.0.0.1", "127.0.0.2", "::2", "", "x", "10.0.0.1 ", "1" * 100])
def test_trusts_no_other_address(peer: str):
    assert not PROXIES.trusts(peer)
    assert not TrustedProxies().trusts(peer)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("6.6.6.6, 1.2.3.4, 10.0.0.9", "1.2.3.4"),  # a client can send the first one itself
        ("10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("1.2.3.4:5678", "1.2.3.4"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("garbage, " * 10_000 + "1.2.3.4", "1.2.3.4"),
        ("10.0.0.2, " * 10_000 + "10.0.0.2", "10.0.0.2"),
        ("", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("1.2.3.4, unknown, 10.0.0.2", "10.0.0.1"),
        ("1.2.3.4,", "10.0.0.1"),
        ("1.2.3.4\r\nforged", "10.0.0.1"),
    ],
)
def test_reads_the_client_of_a_proxy(forwarded: str, client: str):
    assert PROXIES.client_of("10.0.0.1", forwarded) == client


@pytest.mark.parametrize("text", ["10.0.0.1/8", "nginx", "10.0.0.0/33", "1.2.3", "10.0.0.1:80", "[::1]", "*"])
def test_rejects_other_text(text: str):
    with pytest.raises(UsageError, match=r"^--trusted-proxies must contain addresses or networks, .*$") as raised:
        ServeOptions(trusted_proxies=f"127.0.0.1,{text}")
    assert repr(text) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_counts_a_network_of_ipv6_as_one_address():
    assert holder("2001:db8::1") == holder("2001:db8::2:3:4:5") == "2001:db8::/64"
    assert holder("2001:db8:0:1::1") != holder("2001:db8::1")
    assert (holder("1.2.3.4"), holder("::1"), holder("fe80::1%eth0"), holder("")) == ("1.2.3.4", "::1", "fe80::/64", "")


def test_shortens_an_address():
    assert (plain("::ffff:1.2.3.4"), plain("2001:0db8:0::1"), plain("@")) == ("1.2.3.4", "2001:db8::1", "@")
