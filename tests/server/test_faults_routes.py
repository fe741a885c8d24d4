"""Faults in paths, methods and content types (rows 26 to 30 of the table of faults)."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from asking import LENGTH, good, refusal
from server_process import Server, binary_request, serving

UNKNOWN = [
    "nope", "CON", "..", ".", "..%2f..%2fetc%2fpasswd", "../../etc/passwd", "%6cenet-digits-int8/..%2f..", "%00",
    "%ff%fe", "lenet-digits-int8%00", "lenet-digits-int8 ", "LENET-DIGITS-INT8", "lenet\u2010digits\u2010int8",
    "x" * 10_000,
]  # fmt: skip
PATHS = ["", "/ready", "/config", "/stats", "/infer", "/versions/1", "/versions/1/infer"]


@pytest.fixture(autouse=True)
def _neighbour(server: Server) -> Iterator[None]:
    with server.good_neighbour():
        yield


def encoded(name: str) -> str:
    """Percent-encode a name for the request line; keep existing escapes."""
    return quote(name, safe="%/")


# 26, 27, 28


@pytest.mark.parametrize("name", UNKNOWN, ids=lambda name: ascii(name[:24]))
def test_an_unknown_model_is_404_at_every_path(name: str, server: Server):
    for path in PATHS:
        where = f"/v2/models/{encoded(name)}{path}"
        reply = server.post(good(), path=where) if path.endswith("infer") else server.get(where)
        # One of the names starts with the percent-encoded name of a served model.
        assert re.search(r" is not found: POST /v2/repository/index lists |' has no path '/", refusal(reply, 404))


def test_reads_a_large_request_to_an_unknown_model(server: Server):
    for _ in range(5):
        reply = server.post(bytes(8 << 20), path="/v2/models/nope/infer")
        assert refusal(reply, 404).startswith("model 'nope' is not found")


@pytest.mark.parametrize("version", ["2", "0", "01", "-1", "+1", "1.0", "abc", "latest", "%31%00", "%201"])
def test_an_unknown_version_is_404(version: str, server: Server):
    for path in ("", "/ready", "/infer"):
        where = f"/v2/models/{server.name}/versions/{version}{path}"
        reply = server.post(good(), path=where) if path == "/infer" else server.get(where)
        assert f"model '{server.name}' is not found in version '" in refusal(reply, 404)


@pytest.mark.parametrize(
    "path",
    [
        "/web", "/web/", "/web/no.js", "/foo", "/v2/", "//v2", "/v2//health/live", "/v2/health", "/v2/health/live/",
        "/V2", "/v2/models",
        "/v1/models", "/metrics/", "/v2/repository", "/v2/repository/index/", "/v2/../v2", "/v2/%2e%2e/v2",
        "/v2%00", "*", "/v2/models/", "/docs/", "/v2;x", "/v2/models/lenet-digits-int8/",
        "/v2/models/lenet-digits-int8/trace/setting",
    ],
)  # fmt: skip
def test_an_unknown_path_is_404(path: str, server: Server):
    refusal(server.get(path), 404)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/predict", "path '/predict' is not found: GET /openapi.json lists all paths"),
        ("/v2/models", "path '/v2/models' is not found: POST /v2/repository/index lists the models"),
        ("/v2/models/a%2Fb", "model 'a/b' is not found: POST /v2/repository/index lists the models"),
        ("/v2/models/M/versions/7/infer", "model 'M' is not found in version '7': 1 is served"),
        ("/v2/models/M/predict", "model 'M' has no path '/predict': GET /openapi.json lists all paths"),
        ("/v2/models/M/versions/1/predict", "model 'M' has no path '/predict': GET /openapi.json lists all paths"),
        ("/v2/models/M/", "model 'M' has no path '/': GET /openapi.json lists all paths"),
    ],
)
def test_404_names_the_missing_part(path: str, expected: str, server: Server):
    assert refusal(server.get(path.replace("M", server.name)), 404) == expected.replace("'M'", f"'{server.name}'")


def test_an_invalid_request_target_is_400(server: Server):
    for path in ("/v2/\x7f\x01", "/v2/models/\xe9", "v2", ""):
        reply = server.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]


def test_accepts_encoded_names_and_a_query(server: Server):
    assert server.get("/v2/models/%6cenet%2Ddigits%2dint8/ready?a=b&c").status == 200


@pytest.mark.slow
def test_looks_up_names_without_disk_access(tmp_path: Path):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    with serving("--watch-s", 0) as server:  # otherwise the watcher reads the disk too
        _trace_requests(server, tmp_path / "calls")
    calls = re.findall(r"^\d+ +(\w+)\((.*)", (tmp_path / "calls").read_text(), re.MULTILINE)
    assert any("/v2/models/nope" in text for _, text in calls), "strace did not record the requests"
    assert [call for call in calls if call[0] not in {"read", "recvfrom"}] == []


def _trace_requests(server: Server, seen: Path) -> None:
    """Request unknown models and record the worker's system calls."""
    (worker,) = server.worker_pids()
    command = ["strace", "-f", "-e", "trace=%file,getdents64,recvfrom,read", "-o", str(seen), "-p", str(worker)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        status = strace.stderr.readline()
        if "attached" not in status:
            strace.wait()
            pytest.skip(f"strace may not attach: {status.strip()}")
        try:
            for name in UNKNOWN[:4]:
                for path in PATHS:
                    assert server.get(f"/v2/models/{encoded(name)}{path}").status == 404
        finally:
            strace.send_signal(signal.SIGINT)
            strace.stderr.read()


# 29


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v2", "GET, HEAD"),
        ("/v2/health/live", "GET, HEAD"),
        ("/v2/models/lenet-digits-int8", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/v2/models/lenet-digits-int8/infer", "POST"),
        ("/v2/repository/index", "POST"),
    ],
)
def test_a_wrong_method_is_405_with_allow(path: str, allowed: str, server: Server):
    for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"} - set(allowed.split(", ")):
        reply = server.request(method, path, b"{}" if method == "PUT" else None)
        assert (reply.status, reply.headers["allow"]) == (405, allowed)
        message = f"expected the method {allowed}, found {method}"
        assert reply.body == b"" if method == "HEAD" else refusal(reply, 405) == message


def test_an_unknown_method_is_400(server: Server):
    reply = server.raw(b"BREW /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/lenet-digits-int8/config"])
def test_head_is_get_without_the_body(path: str, server: Server):
    got, head = server.get(path), server.request("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(got.body) > 0
    changing = {"date", "x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in got.headers.items() if k not in changing
    }


# 30


@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "application/octet-stream", "nonsense", "multipart/form-data; boundary=x"]
)
def test_ignores_content_types_other_than_images(kind: str | None, server: Server):
    headers = {} if kind is None else {"Content-Type": kind}
    assert server.post(good(), headers).status == 200
    body, length = binary_request(server.images[:3])
    assert server.post(body, headers | {LENGTH: str(length)}).body == server.golden


@pytest.mark.parametrize("kind", ["image/jpeg", "IMAGE/PNG", "image/whatever; q=1"])
def test_decodes_images_by_content(kind: str, server: Server):
    assert refusal(server.post(good(), {"Content-Type": kind})).startswith("cannot decode: the image is not a JPEG")
    file = server.bundle.self_test().encoded[0].content
    assert server.post(file, {"Content-Type": kind}).status == 200


@pytest.mark.parametrize("classes", ["-1", "x", "1.5", "", "%00", "²"])
def test_rejects_invalid_classes_in_the_query(classes: str, server: Server):
    file = server.bundle.self_test().encoded[0].content
    path = f"{server.infer_path}?classification={encoded(classes)}"
    for reply in (server.request("POST", path, file, {"Content-Type": "image/png"}), server.post(good(), path=path)):
        assert refusal(reply) == "classification in the query: expected a number of classes"


def test_counts_unknown_paths_by_status(server: Server):
    def refused() -> dict[str, float]:
        return {
            sample.labels["status"]: sample.value
            for sample in server.samples()
            if sample.name == "edgecnn_http_refused_total"
        }

    before = refused()
    server.get("/v2/models/made-up-just-now")
    server.request("DELETE", "/v2")
    after = refused()
    assert {status: after[status] - before.get(status, 0) for status in ("404", "405")} == {"404": 1, "405": 1}
    assert b"made-up" not in server.get("/metrics").body
