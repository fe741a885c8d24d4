"""What errors, logs and metrics reveal, and which connections the server opens."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from grpc_asking import Asker, asking, counted, error_of
from infer_requests import Request, Tensor
from server_process import Server, serving
from transports import Transport
from tritonclient.grpc import service_pb2

from edgecnn.host.child import child_environment
from edgecnn.runtime.engines.registry import installed

PATIENCE_S = 60.0

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
def test_errors_reveal_nothing_internal(server: Server, method: str):
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


NASTY_TEXTS = (
    "a\nb", "a\r\nFAKE 2026 line", 'a" code=OK admin="yes', "a\x1b[31mred", "a\u202eb", "x" * 5000, "\0", "é", "",
)  # fmt: skip


@pytest.mark.parametrize("log_format", ["text", pytest.param("json", marks=pytest.mark.slow)])
def test_escapes_client_text_in_logs(log_format: str):
    with serving("--access-log", "--log-format", log_format, "--grpc-port", 0) as server:
        _send_nasty_http(server)
        with asking(server) as asker:
            _send_nasty_grpc(server, asker)
        server.unharmed()
        assert server.stop() == 0
        answered = [text for text in server.lines if "answered" in text]
        calls = sum("inference.GRPCInferenceService" in text for text in answered)
        assert calls >= len(NASTY_TEXTS) * 5
        assert len(answered) - calls > len(NASTY) * len(IDS) / 2  # rejected requests are logged too
        for text in server.lines:
            assert text.endswith("\n")
            assert text[:-1].isprintable(), text
            assert len(text) < 20_000
            if log_format == "json":
                assert isinstance(json.loads(text), dict)
            else:
                assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ ", text), text
                assert 'admin="yes' not in text.replace(r"\"", "")


def _send_nasty_http(server: Server) -> None:
    for line in NASTY:
        for shown in IDS:
            head = line + b"\r\nHost: localhost\r\nConnection: close\r\nX-Request-ID: " + shown + b"\r\n\r\n"
            answer = server.raw(head)
            (first,) = re.findall(rb"X-Request-ID: ([^\r\n]*)\r\n", answer) or [b"none"]
            assert first in (shown, b"none") or re.fullmatch(rb"[0-9a-f]{12}-\d+", first)


def _send_nasty_grpc(server: Server, asker: Asker) -> None:
    for text in NASTY_TEXTS:
        assert asker.ask("ModelInfer", asker.request(server.images[:1], id=text[:256]))
        for changes in ({"model_name": text}, {"model_version": text or "é"}, {"inputs": [{"name": text}]}):
            message = asker.request(server.images[:1], **changes)
            assert error_of(lambda message=message: asker.ask("ModelInfer", message))[1].isprintable()
        error_of(lambda text=text: asker.ask("ModelMetadata", service_pb2.ModelMetadataRequest(name=text)))
    for text in ('a" code=OK admin="yes', "x" * 5000, "a\\u000ab", " "):
        asker.ask("ServerLive", metadata=(("x-request-id", text),))
    for call in ('/x" admin="yes', "/\x1b[31mred", "/é", "/" + "x" * 5000):
        error_of(lambda call=call: asker.ask(call))


def test_clients_cannot_create_time_series(server: Server, transport: Transport):
    def series() -> set[tuple[object, ...]]:
        found = {(s.name, *sorted(s.labels.items())) for s in server.samples()}
        return {each for each in found if "refused" not in str(each[0])}

    before, images = series(), server.images[:1]
    with transport(server) as client:
        for number in range(50):
            for changes in ({"model": f"made-up-{number}"}, {"version": str(number + 2)}):
                assert client.send(Request([Tensor(images)], **changes)).kind == "not found"
    assert series() == before


def test_counts_rejections_by_status(server: Server):
    for number in range(10):
        assert server.request(f"M{number}", "/v2").status in (400, 405)
    counts = {s.labels["status"] for s in server.samples() if s.name == "edgecnn_http_refused_total"}
    assert counts <= {"400", "401", "403", "404", "405", "408", "413", "415", "431", "503"}
    before = counted(server)
    with asking(server) as asker:
        for number in range(10):
            message = asker.request(server.images[:1], model_name=f"made-up-{number}")
            assert error_of(lambda message=message: asker.ask("ModelInfer", message))[0] == "NOT_FOUND"
            assert error_of(lambda number=number: asker.ask(f"Made{number}"))[0] == "UNIMPLEMENTED"
    after = counted(server)
    grown = {code: after[code] - before.get(code, 0) for code in after if after[code] != before.get(code)}
    assert grown == {"NOT_FOUND": 10, "UNIMPLEMENTED": 10}


ALONE = """
import socket
from server_process import serving
with serving("--engine", {engine!r}) as server:
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=1)
        raise SystemExit("the network is reachable: expected an isolated namespace")
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


@pytest.mark.slow
@pytest.mark.skipif(not _works(*_isolated("true")), reason="this machine permits no separate network namespace")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_serves_without_a_network(engine: str):
    done = subprocess.run(
        _isolated(sys.executable, "-c", ALONE.format(engine=engine)),
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.stdout == "served\n", done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not _works("strace", "-o", "/dev/null", "true"), reason="strace does not work on this machine")
@pytest.mark.parametrize("engine", installed())
def test_opens_no_connection(engine: str, tmp_path: Path):
    program = "from server_process import start, wait_for\n"
    program += f"process, lines = start('--engine', {engine!r})\n"
    program += "wait_for(lambda: any('edgecnn serves' in line for line in lines))\n"
    program += "process.terminate()\nassert process.wait() == 0\n"
    log = tmp_path / "calls"
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", calls, sys.executable, "-c", program]
    subprocess.run(command, env=child_environment(), check=True, timeout=PATIENCE_S)
    assert not re.findall(r".*AF_INET.*", log.read_text())  # DNS look-ups included
