"""Who may ask over gRPC, who can listen in, and what clients can do to the log and to the metrics."""

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_asking import SERVICE, asking, counted, refused
from grpc_frames import call, exchange
from server_process import Server, serving, wait_for
from tritonclient.grpc import service_pb2

from edgecnn.host.child import child_environment

KEY = "0123456789abcdef-Key"
GRPC = ("--grpc-port", 0)
CALLS = [method.name for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
HEALTH = ("ServerLive", "ServerReady")
WITHOUT_KEY = ("an API key is needed, as ", "this is not the server's API key")


@pytest.fixture(scope="module")
def locked_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("key") / "key"
    file.write_text(KEY + "\n")
    headers = {"Authorization": f"Bearer {KEY}"}
    with serving("--api-key-file", file, "--access-log", *GRPC, headers=headers) as server:
        yield server


@pytest.fixture
def locked(locked_server: Server) -> Iterator[Server]:
    """A server that wants a key."""
    yield locked_server
    locked_server.unharmed()


@pytest.mark.parametrize(
    "shown",
    [
        (),
        (("authorization", "Bearer wrong"),),
        (("authorization", f"Bearer {KEY}x"),),
        (("authorization", f"Basic {KEY}"),),
        (("authorization", "Bearer"),),
        (("x-api-key", "wrong"),),
        (("authorization", "Bearer wrong"), ("x-api-key", KEY)),
    ],
)
def test_without_the_key_nothing_but_health_is_answered(locked: Server, shown: tuple[tuple[str, str], ...]):
    before = locked.metrics()["received"]
    with asking(locked) as asker:
        for call in [*CALLS, "Nothing", "/grpc.Nobody/Nothing"]:
            if call in HEALTH:
                assert asker.ask(call, metadata=shown)[0] == b"\x08\x01"
            else:
                code, text = refused(lambda call=call: asker.ask(call, b"\xff" * 1000, metadata=shown))
                assert code == "UNAUTHENTICATED"
                assert text.startswith(WITHOUT_KEY)
    assert locked.metrics()["received"] == before


@pytest.mark.parametrize(
    "shown", [("authorization", f"Bearer {KEY}"), ("authorization", f"bearer {KEY}"), ("x-api-key", KEY)]
)
def test_with_the_key_in_either_place_all_is_as_ever(locked: Server, shown: tuple[str, str]):
    with asking(locked) as asker:
        content, _ = asker.ask("ModelInfer", asker.request(locked.images[:3]), metadata=(shown,))
        (raw,) = service_pb2.ModelInferResponse.FromString(content).raw_output_contents
        assert raw == locked.logits(locked.images[:3]).tobytes()
    assert not [line for line in locked.lines if KEY in line]


@pytest.fixture(scope="module")
def tls_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=edge", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def tls_server(tls_folder: Path) -> Iterator[Server]:
    context = ssl.create_default_context(cafile=str(tls_folder / "cert.pem"))
    files = ("--tls-cert", tls_folder / "cert.pem", "--tls-key", tls_folder / "key.pem")
    with serving(*files, "--header-timeout-s", 1, *GRPC, context=context) as server:
        yield server


@pytest.fixture
def tls(tls_server: Server) -> Iterator[Server]:
    """A server that speaks TLS only."""
    yield tls_server
    tls_server.unharmed()


def test_over_tls_all_is_as_ever(tls: Server, tls_folder: Path):
    credentials = grpc.ssl_channel_credentials((tls_folder / "cert.pem").read_bytes())
    with tls.good_neighbour(), asking(tls, credentials=credentials) as asker:
        assert np.array_equal(asker.infer(tls.images[:3]), tls.logits(tls.images[:3]))


def test_a_client_that_does_not_know_the_certificate_does_not_go_on(tls: Server):
    with asking(tls, credentials=grpc.ssl_channel_credentials()) as asker:
        assert refused(lambda: asker.ask("ServerLive", timeout_s=5))[0] == "UNAVAILABLE"


@pytest.mark.parametrize("content", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000, b"\x16\x03\x01\xff\xff", b""])
def test_who_speaks_no_tls_is_let_go_without_a_line_in_the_log(tls: Server, content: bytes):
    before = len(tls.lines)
    host, _, port = tls.grpc_address.rpartition(":")
    with tls.good_neighbour(), socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(content)
        while sock.recv(4096):  # until it is closed
            pass
    assert len(tls.lines) == before


NASTY = ("a\nb", "a\r\nFAKE 2026 line", 'a" code=OK admin="yes', "a\x1b[31mred", "a\u202eb", "x" * 5000, "\0", "é", "")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_that_a_client_sends_forges_a_line_or_moves_the_cursor(log_format: str):
    with serving("--access-log", "--log-format", log_format, *GRPC) as server, asking(server) as asker:
        for text in NASTY:
            good = asker.request(server.images[:1], id=text[:256])
            assert asker.ask("ModelInfer", good)
            for changes in ({"model_name": text}, {"model_version": text or "é"}, {"inputs": [{"name": text}]}):
                message = asker.request(server.images[:1], **changes)
                assert refused(lambda message=message: asker.ask("ModelInfer", message))[1].isprintable()
            refused(lambda text=text: asker.ask("ModelMetadata", service_pb2.ModelMetadataRequest(name=text)))
        for text in ('a" code=OK admin="yes', "x" * 5000, "a\\u000ab", " "):
            asker.ask("ServerLive", metadata=(("x-request-id", text),))
        for call in ('/x" admin="yes', "/\x1b[31mred", "/é", "/" + "x" * 5000):
            refused(lambda call=call: asker.ask(call))
        server.unharmed()
        assert server.stop() == 0
        assert sum("answered" in line and "call" in line for line in server.lines) >= len(NASTY) * 5
        for line in server.lines:
            assert line.endswith("\n")
            assert line[:-1].isprintable(), line
            if log_format == "json":
                assert isinstance(json.loads(line), dict)
            else:
                assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ ", line), line
                assert 'admin="yes' not in line.replace(r"\"", "")


def test_what_clients_make_up_makes_no_time_series():
    def series(server: Server) -> set[tuple[object, ...]]:
        found = {(s.name, *sorted(s.labels.items())) for s in server.samples()}
        return {each for each in found if "refused" not in str(each[0])}

    with serving(*GRPC) as server, asking(server) as asker:
        before = series(server)
        for number in range(50):
            for changes in ({"model_name": f"made-up-{number}"}, {"model_version": str(number + 2)}):
                message = asker.request(server.images[:1], **changes)
                assert refused(lambda message=message: asker.ask("ModelInfer", message))[0] == "NOT_FOUND"
            assert refused(lambda number=number: asker.ask(f"{SERVICE}Made{number}"))[0] == "UNIMPLEMENTED"
        assert series(server) == before
        assert counted(server) == {"NOT_FOUND": 100, "UNIMPLEMENTED": 50}
        server.unharmed()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_is_no_text_writes_nothing_that_was_sent_into_the_log(log_format: str):
    with serving("--log-format", log_format, *GRPC) as server:
        before = len(server.lines)
        path = f"{SERVICE}ServerMetadata".encode()
        for name in (b"x-anything", b"x-request-id", b"user-agent", b"authorization"):
            assert b"edgecnn" in exchange(server.grpc_address, call(path, {name: b"Bearer " + KEY.encode() + b"\xff"}))
        exchange(server.grpc_address, call(path, {b"x-\xff": b"y"}))
        assert server.lines[before:] == []
        exchange(server.grpc_address, call(b"/" + KEY.encode() + b"\xff"))  # the library ends on that
        wait_for(lambda: _is_live(server))
        (line,) = server.lines[before:]
        assert "gRPC has stopped listening, and is started again" in line
        server.unharmed()


def _is_live(server: Server) -> bool:
    with asking(server) as asker, contextlib.suppress(grpc.RpcError):
        return asker.ask("ServerLive")[0] == b"\x08\x01"
    return False


IMPORTS = {"ours": "import edgecnn.server.grpc.server", "theirs": "import tritonclient.grpc"}


@pytest.mark.parametrize("order", [("ours", "theirs"), ("theirs", "ours")], ids="-then-".join)
def test_server_and_client_can_be_imported_in_one_process(order: tuple[str, str]):
    code = "\n".join(IMPORTS[name] for name in order)
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=child_environment(), check=True)


def test_without_the_option_grpc_is_not_imported_and_with_it_not_by_the_supervisor():
    code = "import sys, edgecnn.cli.serve, edgecnn.server.worker, edgecnn.server.supervisor.supervisor\n"
    code += "assert not {'grpc', 'google.protobuf'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], env=child_environment(), check=True)
    with serving(*GRPC) as server:
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "cygrpc" not in maps
        (worker,) = server.worker_pids()
        assert "cygrpc" in Path(f"/proc/{worker}/maps").read_text()
