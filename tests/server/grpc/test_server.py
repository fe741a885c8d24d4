"""Tests of the gRPC server on each event loop, without a model: limits, port, and stopping."""

import asyncio
import contextlib
import gc
import socket
import sys
import threading

import grpc
import pytest
from grpc._cython import cygrpc
from grpc_asking import SERVICE
from grpc_frames import call, exchange
from grpc_site import PATIENCE_S, after, grpc_site
from http_site import LOOPS
from server_process import wait_for

from edgecnn.errors import UsageError
from edgecnn.host.resources import resident_bytes
from edgecnn.server.api.service import Service
from edgecnn.server.api.step_pool import StepPool
from edgecnn.server.credentials import Credentials
from edgecnn.server.grpc.library import Library
from edgecnn.server.grpc.listening import options_of
from edgecnn.server.grpc.server import GrpcServer
from edgecnn.server.http.limits import Limits
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.metrics import Metrics

TRUE = b"\x08\x01"


@pytest.mark.parametrize("kind", LOOPS)
def test_answers_calls(kind: str):
    with grpc_site(kind) as site:
        assert site.ask("ServerLive") == TRUE
        assert site.ask("ServerReady") == b""
        assert site.ask("RepositoryIndex") == b""
        assert b"edgecnn" in site.ask("ServerMetadata")
        with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
            site.ask("Nothing")
        with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            site.ask("ModelInfer")
        assert b'edgecnn_grpc_refused_total{code="UNIMPLEMENTED"} 1.0' in site.metrics.page()
        assert site.server.busy == 0


@pytest.mark.parametrize("path", ["ServerMetadata", "/ServerMetadata", "ServerLive", "", "/"])
def test_rejects_a_call_without_the_service_name(path: str):
    with grpc_site("uvloop") as site, grpc.insecure_channel(site.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(path)(b"", timeout=PATIENCE_S)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert caught.value.details() == f"unknown call '/{path.removeprefix('/')}'"


@pytest.mark.parametrize("kind", LOOPS)
def test_rejects_calls_above_the_limit(kind: str):
    with grpc_site(kind) as site, grpc.insecure_channel(site.address) as channel:
        goes_on = threading.Event()
        calls = [channel.stream_unary(SERVICE + "RepositoryIndex").future(after(goes_on)) for _ in range(4)]
        wait_for(lambda: site.server.busy == 4)
        with pytest.raises(grpc.RpcError) as caught:
            site.ask("RepositoryIndex")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "4 calls are already queued: try again later"
        assert ("grpc-retry-pushback-ms", "1000") in caught.value.trailing_metadata()
        assert site.ask("ServerLive") == TRUE  # otherwise an orchestrator would restart the server
        goes_on.set()
        assert [call.result(PATIENCE_S) for call in calls] == [b""] * 4


@pytest.mark.parametrize("kind", LOOPS)
def test_answers_health_without_the_message(kind: str):
    with grpc_site(kind) as site, grpc.insecure_channel(site.address) as channel:
        goes_on = threading.Event()
        ask = channel.stream_unary(SERVICE + "ServerLive")
        assert [ask(after(goes_on), timeout=PATIENCE_S) for _ in range(20)] == [TRUE] * 20
        assert site.server.busy == 0
        goes_on.set()
        for message in (b"\xff\xff\xff", bytes(1 << 20)):
            assert site.ask("ServerLive", message) == TRUE
            assert site.ask("ServerReady", message) == b""


@pytest.mark.parametrize("kind", LOOPS)
def test_stop_answers_pending_calls(kind: str):
    with grpc_site(kind) as site, grpc.insecure_channel(site.address) as channel:
        goes_on = threading.Event()
        call = channel.stream_unary(SERVICE + "RepositoryIndex").future(after(goes_on))
        wait_for(lambda: site.server.busy == 1)
        stopping = asyncio.run_coroutine_threadsafe(site.server.stop(PATIENCE_S), site.loop)
        goes_on.set()
        assert call.result(PATIENCE_S) == b""
        assert stopping.result(PATIENCE_S)
        with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            site.ask("ServerLive")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_releases_a_refused_message():
    message = b"\x3a\x80\x80\x80\x02" + bytes(4 << 20)  # one raw tensor, without a model name
    with grpc_site("uvloop") as site, contextlib.closing(StepPool(1)) as pool:
        site.service.start(pool)
        gc.disable()  # reference cycles would stay in memory
        try:
            before = resident_bytes()
            for _ in range(100):
                with pytest.raises(grpc.RpcError, match="model '' is not found"):
                    site.ask("ModelInfer", message)
            assert resident_bytes() - before < 200 << 20
        finally:
            gc.enable()


def test_listens_on_every_kind_of_address():
    hosts = ["127.0.0.1", "0.0.0.0"]
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        hosts += ["::1", "::"]
    for host in hosts:
        with grpc_site("asyncio", host) as site:
            site.address = site.address.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
            assert site.ask("ServerLive") == TRUE


def test_reports_an_address_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        async def start() -> None:
            service = Service({}, budget=MemoryBudget(1 << 30), api_key=None)
            credentials = Credentials(None, None)
            GrpcServer(service, Metrics(), Limits(), address=address, credentials=credentials, access_log=None).start()

        with pytest.raises(UsageError, match=f"cannot listen for gRPC on {address}"):
            asyncio.run(start())


def test_uses_the_http_limits():
    limits = Limits(max_body_bytes=2048 << 20, max_header_bytes=7, idle_timeout_s=1.5)
    options = dict(options_of(limits))
    assert options["grpc.max_receive_message_length"] == 2**31 - 1
    assert options["grpc.absolute_max_metadata_size"] == 7
    assert options["grpc.max_connection_idle_ms"] == 1500


@pytest.mark.parametrize("kind", LOOPS)
def test_refuses_a_call_name_that_is_not_utf_8(kind: str):
    with grpc_site(kind) as site:
        exchange(site.address, call(b"/\xff"))
        assert site.ask("ServerLive") == TRUE
        assert b'edgecnn_grpc_refused_total{code="UNIMPLEMENTED"} 1.0' in site.metrics.page()


def test_names_an_unsupported_version_of_the_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(cygrpc, "CompletionQueue")

    async def create() -> None:
        Library([], lambda rpc: None)

    with pytest.raises(UsageError, match=r"grpcio \S+ cannot be used: it has no CompletionQueue; install a supported"):
        asyncio.run(create())
