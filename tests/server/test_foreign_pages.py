"""A server on loopback without a key refuses web pages of other sites (DNS rebinding), also behind nginx."""

import contextlib
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_messages import binary_request, wait_for
from server_process import Server, serving

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.control_requests import check_page, is_loopback
from edgecnn.server.http.message import Head

FOREIGN = {"Host": "evil.example:8080"}
NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream edgecnn_backend {{ server 127.0.0.1:{port}; }}
  server {{ listen 127.0.0.1:{default}; location / {{ proxy_pass http://edgecnn_backend; }} }}
  server {{
    listen 127.0.0.1:{passing};
    location / {{ proxy_pass http://edgecnn_backend; proxy_set_header Host $host; }}
  }}
}}
"""


@pytest.mark.parametrize(
    "path", ["/v2", "/metrics", "/openapi.json", "/", "/docs", "/v2/models/{}/card", "/v2/models/stats", "/nowhere"]
)
def test_refuses_to_read_for_another_host(path: str, server: Server):
    reply = server.request("GET", path.format(server.name), headers=FOREIGN)
    assert (reply.status, reply.error) == (
        403,
        "requests to the host 'evil.example:8080' are not allowed: add it to --trusted-hosts",
    )


def test_refuses_inference_and_index_for_another_host_or_site(server: Server):
    body, length = binary_request(server.images[:1])
    headers = {"Inference-Header-Content-Length": str(length), "Content-Type": "text/plain"}
    assert server.post(body, headers).status == 200
    for foreign in (FOREIGN, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        assert server.post(body, headers | foreign).status == 403
        assert server.request("POST", "/v2/repository/index", b"", foreign).status == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:8080"])
def test_answers_health_checks_of_any_host(host: str, server: Server):
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert server.request("GET", path, headers={"Host": host}).status == 200


@pytest.mark.parametrize("host", ["localhost:1", "LocalHost.", "127.0.0.1", "[::1]:8080", "10.1.2.3", "edge.example:9"])
def test_accepts_its_own_hosts(host: str):
    check_page(Head("GET", "/v2", "", {"host": host}), trusted_hosts=("edge.example",))


@pytest.mark.parametrize("headers", [{}, {"host": "localhost", "sec-fetch-site": "cross-site"}])
def test_accepts_links_and_clients_without_a_host(headers: dict[str, str]):
    check_page(Head("GET", "/v2", "", headers), trusted_hosts=())


@pytest.mark.parametrize(
    "host", ["127.0.0.1.evil.example", "localhost.evil.example", "a@127.0.0.1", "x" * 30_000, "::1"]
)
def test_refuses_names_that_look_like_its_own(host: str):
    with pytest.raises(Refusal, match="--trusted-hosts"):
        check_page(Head("GET", "/v2", "", {"host": host}), trusted_hosts=())


@pytest.mark.parametrize(
    ("family", "address", "expected"),
    [
        (socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET, "127.9.9.9", True),
        (socket.AF_INET, "0.0.0.0", False),
        (socket.AF_INET6, "::1", True),
        (socket.AF_INET6, "::ffff:127.0.0.1", True),
        (socket.AF_INET6, "::", False),
    ],
)
def test_recognises_loopback(family: int, address: str, expected: bool):
    with socket.socket(family) as sock:
        try:
            sock.bind((address, 0))
        except OSError as error:
            pytest.skip(f"this machine has no {address}: {error}")
        assert is_loopback(sock) is expected


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--host", "0.0.0.0"), ("--api-key-file", "{key}")], ids=["open", "locked"])
def test_other_servers_accept_any_host(options: tuple[str, str], tmp_path: Path):
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    headers = {"X-API-Key": "0123456789abcdef"}
    with serving(options[0], options[1].format(key=key), headers=headers) as server:
        assert server.request("GET", "/v2", headers=FOREIGN).status == 200


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def nginx(server: Server, folder: Path) -> Iterator[tuple[int, int]]:
    """Run nginx before a server; yield the port with nginx's default Host header, and the one that passes it on."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        assert "CI" not in os.environ, "nginx is not installed: apt-get install nginx-light"
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    ports = free_port(), free_port()
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, port=server.port, default=ports[0], passing=ports[1]))
    process = subprocess.Popen([program, "-p", folder, "-c", file], stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ports[1])):
            return True
        return False

    try:
        wait_for(listens)
        yield ports
    finally:
        process.terminate()
        process.wait(10)


def status(port: int, host: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_names_the_option_behind_nginx(tmp_path: Path):
    trusted = ("--trusted-hosts", "edge.example:443, other.example")
    with serving(*trusted) as server, nginx(server, tmp_path) as (default, passing):
        code, text = status(default, "edge.example")
        assert (code, "'edgecnn_backend' are not allowed: add it to --trusted-hosts" in text) == (403, True)
        code, text = status(passing, "evil.example")
        assert (code, "'evil.example' are not allowed: add it to --trusted-hosts" in text) == (403, True)
        assert status(passing, "edge.example")[0] == 200
        assert status(passing, "localhost")[0] == 200
