"""Who may ask, who can listen in, what the answers and the log give away, and whom the server itself talks to."""

import hmac
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import Server, binary_request, read_all, serving

from edgecnn.host.child import child_environment
from edgecnn.runtime.engines.backends import installed
from edgecnn.server.api.application import Application
from edgecnn.server.api.service import Service
from edgecnn.server.http.message import Exchange, Head, Response
from edgecnn.server.metrics import Metrics

KEY = "0123456789abcdef-Key"
PATIENCE_S = 60.0
HEALTH = ("/v2/health/live", "/v2/health/ready")
WITHOUT_KEY = ("an API key is needed, as ", "this is not the server's API key")


@pytest.fixture(scope="module")
def locked_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("key") / "key"
    file.write_text(KEY + "\n")
    with serving("--api-key-file", file, "--access-log", headers={"Authorization": f"Bearer {KEY}"}) as server:
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
        ("Authorization: Bearer wrong",),
        (f"Authorization: Bearer {KEY}x",),
        (f"Authorization: Bearer {KEY[:-1]}",),
        (f"Authorization: Basic {KEY}",),
        ("Authorization: Bearer",),
        ("Authorization: Bearer \xe9\xff",),
        ("X-API-Key: wrong",),
        ("Authorization: Bearer wrong", f"X-API-Key: {KEY}"),
    ],
)
def test_without_the_key_nothing_but_health_is_answered(locked: Server, shown: tuple[str, ...]):
    before = locked.metrics()["received"]
    for method, path in (
        ("GET", "/v2"),
        ("GET", "/metrics"),
        ("GET", f"/v2/models/{locked.name}"),
        ("POST", "/v2/repository/index"),
        ("POST", locked.infer_path),
        ("GET", "/v2/models/of-nobody"),  # whether it is there is nobody's affair
        ("DELETE", "/nowhere"),
    ):
        lines = "".join(f"{line}\r\n" for line in ("Host: a", "Content-Length: 60000000", *shown))
        answer = locked.raw(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        assert answer.startswith(b"HTTP/1.1 401 "), answer  # before the body, were it ever so small
        assert b"\r\nWWW-Authenticate: Bearer\r\n" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"].startswith(WITHOUT_KEY)
    for path in HEALTH:
        lines = "".join(f"{line}\r\n" for line in ("Host: a", "Connection: close", *shown))
        assert locked.raw(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")).startswith(b"HTTP/1.1 200 ")
    assert locked.metrics()["received"] == before


@pytest.mark.parametrize("shown", [f"Authorization: Bearer {KEY}", f"authorization: bearer {KEY}", f"X-API-Key: {KEY}"])
def test_with_the_key_in_either_header_all_is_as_ever(locked: Server, shown: str):
    body, length = binary_request(locked.images[:3])
    lines = f"Host: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{shown}\r\n"
    head = f"POST {locked.infer_path} HTTP/1.1\r\n{lines}Inference-Header-Content-Length: {length}\r\n\r\n"
    assert locked.raw(head.encode() + body).endswith(locked.golden)


def test_the_key_stands_in_no_command_line_no_environment_and_no_log(locked: Server):
    assert KEY not in "".join(locked.lines)
    for pid in (locked.process.pid, *locked.worker_pids()):
        for file in ("cmdline", "environ"):
            assert KEY.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()


def test_keys_are_compared_whole_in_a_time_that_tells_nothing(monkeypatch: pytest.MonkeyPatch):
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    service = Service({}, api_key=KEY.encode())
    application = Application(service, Metrics(), max_body_bytes=1, trusted_hosts=(), access_log=False, pages={})
    for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": "0"}, {}):
        refused = application.admit(
            Exchange(None, Head("GET", "/v2", "", headers), keep_alive=False, http_version="1.1")
        )
        assert isinstance(refused, Response)
        assert refused.status == 401  # there is no other comparison
    assert compared == [(shown, KEY.encode()) for shown in (KEY.encode(), b"0", b"")]


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=edge", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    files = ("--tls-cert", folder / "cert.pem", "--tls-key", folder / "key.pem")
    with serving(*files, "--header-timeout-s", 2, context=context) as server:
        yield server


@pytest.fixture
def tls(tls_server: Server) -> Iterator[Server]:
    """A server that speaks TLS only, asked by clients that check its certificate."""
    yield tls_server
    tls_server.unharmed()


def test_over_tls_all_is_as_ever(tls: Server):
    assert any(f"edgecnn serves {tls.name} on https://127.0.0.1:" in line for line in tls.lines)
    with tls.good_neighbour():
        assert tls.get("/v2").json["name"] == "edgecnn"
        assert tls.infer(tls.images[:3]).body == tls.golden
        assert tls.post(b"hello").status == 400


def test_a_client_that_does_not_know_the_certificate_does_not_go_on(tls: Server):
    strangers = ssl.create_default_context()
    with tls.connect() as sock, pytest.raises(ssl.SSLCertVerificationError):
        strangers.wrap_socket(sock, server_hostname="127.0.0.1")


@pytest.mark.parametrize(
    "content", [b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 1000, b"\x16\x03\x01\xff\xff", b""]
)
def test_who_speaks_no_tls_is_let_go_and_harms_nobody(tls: Server, content: bytes):
    before = len(tls.lines)
    with tls.good_neighbour():
        answer = tls.raw(content)
    assert b"HTTP" not in answer
    assert len(tls.lines) == before


def test_by_default_only_this_machine_can_connect(server: Server):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), timeout=PATIENCE_S).close()


PATHS = [
    "/../../etc/passwd",
    "/v2/models/..%2f..%2f..%2fetc%2fpasswd",
    "/v2/models/%00",
    "/v2/models//etc/passwd/infer",
    "/v2/models/" + "x" * 10_000,
    "/v2/models/%ff%fe%00/infer",
    "/v2/models/%f0%9f%92%a5%e2%80%ae/ready",
    "/v2/models/{name}/versions/-1/infer",
    "/v2/models/<b>x<%2fb>",
    "/metrics/../v2",
    "*",
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "TRACE"])
def test_no_answer_tells_of_the_inside(server: Server, method: str):
    for path in PATHS:
        reply = server.request(method, path, b"" if method == "POST" else None)
        assert reply.status in (400, 404, 405)
        assert len(reply.error) < 300
        assert reply.error.isprintable()
    for body in (b"\x80\x04cos\nsystem\n.", b'{"inputs": [{"name": "/etc/passwd"}]}', b"[" * 1000):
        assert server.post(body).status == 400
        assert server.post(body).error.isprintable()


NASTY = (
    b"POST /v2/models/x%0a2026-01-01T00:00:00.000Z%20ERROR%20forged%1b[31m/infer HTTP/1.1",
    b"GET /v2\x1b[2J\xe2\x80\xae\xff HTTP/1.1",
    b"GET /v2/models/%0d%0aERROR HTTP/1.1",
    b"GET /v2?x=\x1b[31m HTTP/1.1",
    b"GET /v2 HTTP/1.1",
)
IDS = (b"a\x1b[31mred", b'a" status=200 admin="yes', b"a\xe2\x80\xaeb\xff", b"x" * 5000, b"a\tb", b"a\\u000ab", b"")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_that_a_client_sends_forges_a_line_or_moves_the_cursor(log_format: str):
    with serving("--access-log", "--log-format", log_format) as server:
        for line in NASTY:
            for shown in IDS:
                head = line + b"\r\nHost: a\r\nConnection: close\r\nX-Request-ID: " + shown + b"\r\n\r\n"
                answer = server.raw(head)
                (first,) = re.findall(rb"X-Request-ID: ([^\r\n]*)\r\n", answer) or [b"none"]
                assert first in (shown, b"none") or re.fullmatch(rb"[0-9a-f]{12}-\d+", first)
        server.unharmed()
        assert server.stop() == 0
        answered = sum("answered" in text for text in server.lines)
        assert answered > len(NASTY) * len(IDS) / 2  # what is refused is told as well
        for text in server.lines:
            assert text.endswith("\n")
            assert text[:-1].isprintable(), text
            assert len(text) < 20_000
            if log_format == "json":
                assert isinstance(json.loads(text), dict)
            else:
                assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ ", text), text
                assert 'admin="yes' not in text.replace(r"\"", "")


def test_what_clients_make_up_makes_no_time_series(server: Server):
    def series() -> set[tuple[str, ...]]:
        found = {(s.name, *sorted(s.labels.items())) for s in server.samples()}
        return {each for each in found if each[0] != "edgecnn_http_refused_total"}

    before = series()
    for number in range(100):
        assert server.request("POST", f"/v2/models/made-up-{number}/infer", b"{}").status == 404
        assert server.get(f"/v2/models/{server.name}/versions/{number + 2}").status == 404
        assert server.request(f"M{number}", "/v2").status in (400, 405)
    assert series() == before
    refused = {s.labels["status"] for s in server.samples() if s.name == "edgecnn_http_refused_total"}
    assert refused <= {"400", "401", "403", "404", "405", "408", "413", "415", "431", "503"}


ALONE = """
import socket
from server_process import serving
with serving("--backend", {engine!r}) as server:
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=1)
        raise SystemExit("there is a way out: this shows nothing")
    except OSError:
        pass
    server.unharmed()
    assert server.stop() == 0
print("served")
"""


def _isolated(*command: str) -> list[str]:
    return [
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "sh",
        "-c",
        'ip link set lo up && exec "$@"',
        "-",
        *command,
    ]


def _works(*command: str) -> bool:
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _works(*_isolated("true")), reason="a network of its own is not permitted here")
@pytest.mark.parametrize("engine", installed())
def test_without_any_network_it_starts_and_serves(engine: str):
    done = subprocess.run(
        _isolated(sys.executable, "-c", ALONE.format(engine=engine)),
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.stdout == "served\n", done.stderr


@pytest.mark.skipif(not _works("strace", "-o", "/dev/null", "true"), reason="system calls cannot be watched here")
@pytest.mark.parametrize("engine", installed())
def test_it_calls_nobody(engine: str, tmp_path: Path):
    program = "from server_process import start, wait_for\n"
    program += f"process, lines = start('--backend', {engine!r})\n"
    program += "wait_for(lambda: any('edgecnn serves' in line for line in lines))\n"
    program += "process.terminate()\nassert process.wait() == 0\n"
    log = tmp_path / "calls"
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", calls, sys.executable, "-c", program]
    subprocess.run(command, env=child_environment(), check=True, timeout=PATIENCE_S)
    assert not re.findall(r".*AF_INET.*", log.read_text())  # no name is looked up either


def test_a_client_that_only_connects_is_let_go():
    with serving("--header-timeout-s", 0.5) as server:
        with server.connect() as sock:
            assert read_all(sock) == b""
        server.unharmed()
