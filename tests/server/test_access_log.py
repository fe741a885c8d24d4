"""The access log: one line for each request, also if the connection refuses it or the client leaves."""

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_messages import binary_request, wait_for
from server_process import Server, serving

from edgecnn.server.access_log import AccessLog

LIMITS = ("--header-timeout-s", 0.3, "--body-timeout-s", 0.3, "--max-body-mb", 1)


@pytest.fixture(scope="module")
def logging_server() -> Iterator[Server]:
    """Yield a server with an access log."""
    with serving("--access-log", "--log-format", "json", *LIMITS) as server:
        yield server


def answered(server: Server, **wanted: object) -> dict[str, Any]:
    """Wait for the line with these fields, and return it."""

    def lines() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in server.lines if '"answered"' in line]
        return [line for line in found if all(line.get(name) == value for name, value in wanted.items())]

    wait_for(lines)
    return lines()[0]


def test_logs_each_field_of_an_inference(logging_server: Server):
    body, length = binary_request(logging_server.images[:2])
    headers = {"Inference-Header-Content-Length": str(length), "X-Request-ID": "first"}
    reply = logging_server.post(body, headers)
    line = answered(logging_server, id="first")
    assert 0 < line.pop("ms") < 60_000
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "message": "answered",
        "client": "127.0.0.1",
        "method": "POST",
        "path": logging_server.infer_path,
        "model": logging_server.name,
        "version": "1",
        "digest": logging_server.bundle.digest[:12],
        "status": 200,
        "bytes_in": len(body),
        "bytes_out": len(reply.body),
        "id": "first",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere?x=1", 404), ("PUT", "/v2", 405), ("POST", "infer", 400)]
)
def test_logs_the_error(method: str, path: str, status: int, logging_server: Server):
    path = logging_server.infer_path if path == "infer" else path
    reply = logging_server.request(method, path, b"{}", {"X-Request-ID": f"error-{status}"})
    line = answered(logging_server, id=f"error-{status}")
    assert (line["status"], line["error"], line["path"]) == (status, reply.error, path.partition("?")[0])
    assert line["bytes_out"] == len(reply.body)


HEAD = "POST /v2/repository/index HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("content", "status", "path"),
    [
        (b"NONSENSE\r\n\r\n", 400, None),
        (b"GET /v2 HTTP/1.1\r\nX: " + b"x" * 40_000, 431, None),
        (b"GET /v2 HTTP/1.1\r\n", 408, None),
        (f"{HEAD}Content-Length: 2\r\n\r\n{{".encode(), 408, "/v2/repository/index"),
        (f"{HEAD}Content-Length: 70000\r\n\r\n".encode(), 413, "/v2/repository/index"),
    ],
)
def test_logs_what_the_connection_refuses(content: bytes, status: int, path: str | None, logging_server: Server):
    head, _, body = logging_server.raw(content).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    line = answered(logging_server, status=status, error=json.loads(body)["error"])
    assert (line["client"], line.get("path")) == ("127.0.0.1", path)


def test_logs_a_client_that_leaves(logging_server: Server):
    with logging_server.connect() as sock:
        sock.sendall(f"{HEAD}Content-Length: 2\r\nX-Request-ID: leaver\r\n\r\n{{".encode())
    line = answered(logging_server, id="leaver")
    assert line["status"] in {400, 499}  # 400 if the server sees the half-closed connection first


def test_leaves_out_health_probes(logging_server: Server):
    for path in ("/v2/health/live", "/v2/health/ready", f"/v2/models/{logging_server.name}/ready"):
        assert logging_server.get(path).status == 200
    assert logging_server.request("HEAD", "/v2", headers={"X-Request-ID": "last"}).status == 200
    assert answered(logging_server, id="last")["bytes_out"] == 0
    assert not any("/health/" in line or "/ready" in line for line in logging_server.lines if '"answered"' in line)


@pytest.mark.parametrize("path", ["/v2/health/live", "/inference.GRPCInferenceService/ServerReady", "/v2"])
@pytest.mark.parametrize("health", [False, True])
def test_logs_health_probes_if_asked(path: str, health: bool, caplog: pytest.LogCaptureFixture):
    fields = {
        "method": "GET",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 1,
        "begun": time.monotonic(),
        "request_id": "",
    }
    with caplog.at_level(logging.INFO, logger="edgecnn.server.access_log"):
        AccessLog(health=health).write(client="10.0.0.1", peer="127.0.0.1", path=path, **fields)
    assert len(caplog.records) == (health or path == "/v2")
    assert all(vars(record)["peer"] == "127.0.0.1" for record in caplog.records)
