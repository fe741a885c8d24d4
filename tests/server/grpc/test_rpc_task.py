"""Tests of single gRPC calls, without a model: memory of messages, certificates, and the access log."""

import contextlib
import logging
import threading
from pathlib import Path

import grpc
import pytest
from certificates import make_pair
from grpc_asking import SERVICE
from grpc_site import PATIENCE_S, after, grpc_site
from server_process import wait_for

from edgecnn.server.access_log import AccessLog
from edgecnn.server.api.step_pool import StepPool
from edgecnn.server.credentials import Credentials
from edgecnn.server.http.limits import Limits
from edgecnn.server.proxies import TrustedProxies

MIB = 1 << 20
TRUE = b"\x08\x01"
UNKNOWN = b"\x3a\x80\x80\x80\x01" + bytes(2 * MIB)
"""A request with one raw tensor of 2 MiB, without a model name."""


def test_slow_messages_share_half_of_the_memory():
    goes_on = threading.Event()
    with (
        grpc_site(limits=Limits(max_connections=9, max_body_bytes=16 * MIB), budget_bytes=64 * MIB) as site,
        grpc.insecure_channel(site.address) as channel,
    ):
        budget, ask = site.service.budget, channel.stream_unary(SERVICE + "RepositoryIndex")
        slow = [ask.future(after(goes_on)) for _ in range(2)]
        wait_for(lambda: budget.held_bytes == 32 * MIB)
        with pytest.raises(grpc.RpcError) as caught:
            ask(after(goes_on), timeout=PATIENCE_S)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "too many messages are being received: try again later"
        assert ("grpc-retry-pushback-ms", "1000") in caught.value.trailing_metadata()
        assert site.ask("RepositoryIndex") == b""
        slow[0].cancel()
        wait_for(lambda: budget.held_bytes == 16 * MIB)
        goes_on.set()
        assert slow[1].result(PATIENCE_S) == b""
        assert (budget.held_bytes, site.server.busy) == (0, 0)


@pytest.mark.parametrize(
    ("budget", "held", "code", "text"),
    [
        (2 * MIB, 0, "RESOURCE_EXHAUSTED", "the request needs 2 MiB of memory, and one request may use 2 MiB"),
        (8 * MIB, 6 * MIB, "UNAVAILABLE", "the memory for requests is in use: try again later"),
        (8 * MIB, 0, "NOT_FOUND", "model '' is not found"),
    ],
)
def test_counts_messages_against_the_memory(budget: int, held: int, code: str, text: str):
    with grpc_site(budget_bytes=budget) as site, contextlib.closing(StepPool(1)) as pool:
        site.service.start(pool)
        site.service.budget.claim().take(held)
        with pytest.raises(grpc.RpcError, match=text) as caught:
            site.ask("ModelInfer", UNKNOWN)
        assert caught.value.code().name == code
        assert site.service.budget.held_bytes == held


def test_uses_a_renewed_certificate(tmp_path: Path):
    pairs = [make_pair(tmp_path / name) for name in ("old", "new")]
    credentials, renewed = (Credentials(pair, None) for pair in pairs)
    old, new = (grpc.ssl_channel_credentials(cert.read_bytes()) for cert, _ in pairs)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc_site(credentials=credentials) as site, grpc.secure_channel(site.address, old, options) as channel:
        is_live = channel.unary_unary(SERVICE + "ServerLive")
        assert is_live(b"", timeout=PATIENCE_S) == TRUE
        credentials.tls = renewed.tls
        with grpc.secure_channel(site.address, new, options) as other:
            assert other.unary_unary(SERVICE + "ServerLive")(b"", timeout=PATIENCE_S) == TRUE
        with grpc.secure_channel(site.address, old, options) as late, pytest.raises(grpc.RpcError, match="CERTIFICATE"):
            late.unary_unary(SERVICE + "ServerLive")(b"", timeout=PATIENCE_S)
        assert is_live(b"", timeout=PATIENCE_S) == TRUE  # over the open connection


def test_logs_calls(caplog: pytest.LogCaptureFixture):
    limits = Limits(trusted_proxies=TrustedProxies.parse("127.0.0.1"))
    metadata = (("x-request-id", "mine"), ("x-forwarded-for", "192.0.2.7"))
    with (
        caplog.at_level(logging.INFO, logger="edgecnn.server.access_log"),
        grpc_site(limits=limits, access_log=AccessLog(health=False)) as site,
        grpc.insecure_channel(site.address) as channel,
    ):
        site.ask("ServerLive")
        content = channel.unary_unary(SERVICE + "ServerMetadata")(b"", metadata=metadata, timeout=PATIENCE_S)
        with pytest.raises(grpc.RpcError):
            site.ask("Nothing", b"xyz")
    lines = [vars(record) for record in caplog.records]
    names = ("client", "peer", "path", "status", "id")
    assert [lines[0][name] for name in names] == [
        "192.0.2.7",
        "127.0.0.1",
        f"{SERVICE}ServerMetadata",
        "OK",
        "mine",
    ]
    assert (lines[0]["bytes_in"], lines[0]["bytes_out"]) == (0, len(content))
    assert (lines[1]["client"], lines[1]["status"]) == ("127.0.0.1", "UNIMPLEMENTED")
    assert lines[1]["error"] == f"unknown call '{SERVICE}Nothing'"
    assert len(lines) == 2
