"""API keys, TLS, and the address on which the server listens."""

import hmac
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_asking import asking, error_of
from server_process import Server, read_all, serving
from transports import Transport
from tritonclient.grpc import service_pb2

from edgecnn.server.api.application import HttpApplication
from edgecnn.server.api.service import Service
from edgecnn.server.http.message import Exchange, Head, Response
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.metrics import Metrics

KEY = "0123456789abcdef-Key"
PATIENCE_S = 60.0
GRPC = ("--grpc-port", 0)
WITHOUT_KEY = ("expected an API key, found none: ", "the API key is wrong")


@pytest.fixture(scope="module")
def locked_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("key") / "key"
    file.write_text(KEY + "\n")
    headers = {"Authorization": f"Bearer {KEY}"}
    with serving("--api-key-file", file, "--access-log", *GRPC, headers=headers) as server:
        yield server


@pytest.fixture
def locked(locked_server: Server) -> Iterator[Server]:
    """Yield a server with an API key whose client sends no key."""
    headers, locked_server.headers = locked_server.headers, {}
    yield locked_server
    locked_server.headers = headers
    locked_server.unharmed()


WRONG_KEYS = [
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": f"Bearer {KEY}x"},
    {"Authorization": f"Bearer {KEY[:-1]}"},
    {"Authorization": f"Basic {KEY}"},
    {"Authorization": "Bearer"},
    {"X-API-Key": "wrong"},
    {"Authorization": "Bearer wrong", "X-API-Key": KEY},
]


@pytest.mark.parametrize("shown", WRONG_KEYS)
def test_rejects_inference_without_the_key(locked: Server, transport: Transport, shown: dict[str, str]):
    before = received(locked)
    with transport(locked) as client:
        refused = client.infer(locked.images[:1], shown=shown)
        assert refused.kind == "unauthorized"
        assert refused.message.startswith(WITHOUT_KEY)
        assert client.health(shown) == (True, True)
    assert received(locked) == before


def received(locked: Server) -> float:
    page = locked.request("GET", "/metrics", None, {"X-API-Key": KEY}).body.decode()
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("edgecnn_requests_received"))


@pytest.mark.parametrize("shown", ["", "Authorization: Bearer wrong\r\n", "Authorization: Bearer \xe9\xff\r\n"])
def test_every_http_path_needs_the_key(locked: Server, shown: str):
    for method, path in (
        ("GET", "/v2"),
        ("GET", "/metrics"),
        ("GET", f"/v2/models/{locked.name}"),
        ("POST", "/v2/repository/index"),
        ("POST", locked.infer_path),
        ("GET", "/v2/models/unknown"),  # a 404 would reveal which models exist
        ("DELETE", "/nowhere"),
    ):
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n{shown}\r\n"
        answer = locked.raw(head.encode("latin-1"))
        assert answer.startswith(b"HTTP/1.1 401 "), answer  # before the body is read, whatever its size
        assert b"\r\nWWW-Authenticate: Bearer\r\n" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"].startswith(WITHOUT_KEY)
    for path in ("/v2/health/live", "/v2/health/ready"):
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{shown}\r\n"
        assert locked.raw(head.encode("latin-1")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("shown", [(), (("authorization", "Bearer wrong"),)])
def test_every_grpc_call_needs_the_key(locked: Server, shown: tuple[tuple[str, str], ...]):
    calls = [method.name for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
    with asking(locked) as asker:
        for call in {*calls, "Nothing", "/grpc.Unknown/Nothing"} - {"ServerLive", "ServerReady"}:
            code, text = error_of(lambda call=call: asker.ask(call, b"\xff" * 1000, metadata=shown))
            assert code == "UNAUTHENTICATED"
            assert text.startswith(WITHOUT_KEY)


@pytest.mark.parametrize(
    ("name", "value"), [("Authorization", "Bearer "), ("authorization", "bearer "), ("X-API-Key", "")]
)
def test_accepts_the_key_in_either_header(locked: Server, transport: Transport, name: str, value: str):
    with transport(locked) as client:
        found = client.infer(locked.images[:3], shown={name: value + KEY})
    assert found.logits is not None
    assert locked.golden.endswith(found.logits.tobytes())


def test_hides_the_key_from_logs_and_command_lines(locked: Server):
    assert KEY not in "".join(locked.lines)
    for pid in (locked.process.pid, *locked.worker_pids()):
        for file in ("cmdline", "environ"):
            assert KEY.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()


def test_compares_keys_in_constant_time(monkeypatch: pytest.MonkeyPatch):
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    service = Service({}, budget=MemoryBudget(1 << 30), api_key=KEY.encode())
    application = HttpApplication(service, Metrics(), max_body_bytes=1, trusted_hosts=(), pages={})
    for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": "0"}, {}):
        head, claim = Head("GET", "/v2", "", headers), MemoryBudget(1 << 30).claim()
        answer = application.admit(
            Exchange(None, head, keep_alive=False, http_version="1.1", claim=claim, peer="127.0.0.1")
        )
        assert isinstance(answer, Response)
        assert answer.status == 401  # any other comparison could accept the key
    assert compared == [(shown, KEY.encode()) for shown in (KEY.encode(), b"0", b"")]


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
    """Yield a TLS-only server; its clients verify the certificate."""
    yield tls_server
    tls_server.unharmed()


def test_infers_over_tls(tls: Server, tls_folder: Path, transport: Transport):
    certificate = (tls_folder / "cert.pem").read_bytes()
    with tls.good_neighbour(), transport(tls, certificate) as client:
        found = client.infer(tls.images[:3])
    assert found.logits is not None
    assert tls.golden.endswith(found.logits.tobytes())


def test_answers_http_over_tls(tls: Server):
    assert any(f"edgecnn serves {tls.name} on https://127.0.0.1:" in line for line in tls.lines)
    assert tls.get("/v2").json["name"] == "edgecnn"
    assert tls.post(b"hello").status == 400


def test_http_client_rejects_an_unknown_certificate(tls: Server):
    strangers = ssl.create_default_context()
    with tls.connect() as sock, pytest.raises(ssl.SSLCertVerificationError):
        strangers.wrap_socket(sock, server_hostname="127.0.0.1")


def test_grpc_client_rejects_an_unknown_certificate(tls: Server):
    with asking(tls, credentials=grpc.ssl_channel_credentials()) as asker:
        assert error_of(lambda: asker.ask("ServerLive", timeout_s=5))[0] == "UNAVAILABLE"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    "content", [b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 1000, b"\x16\x03\x01\xff\xff", b""]
)
def test_disconnects_clients_without_tls(tls: Server, protocol: str, content: bytes):
    before = len(tls.lines)
    port = tls.port if protocol == "http" else int(tls.grpc_address.rpartition(":")[2])
    with tls.good_neighbour(), socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(content)
        assert b"HTTP" not in read_all(sock)
    assert len(tls.lines) == before


def test_listens_on_loopback_only_by_default(server: Server):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), timeout=PATIENCE_S).close()
