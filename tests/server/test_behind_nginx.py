"""A server behind nginx that keeps more connections open than the server allows."""

import shutil
import socket
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest
from server_process import Server, binary_request, serving, wait_for

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CONFIG = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream edgecnn {{ server 127.0.0.1:{upstream}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://edgecnn;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""
CLIENTS = 48


@pytest.mark.slow
@pytest.mark.skipif(NGINX is None, reason="needs nginx")
@pytest.mark.parametrize("trusted", [(), ("--trusted-proxies", "127.0.0.1")], ids=["limited", "trusted"])
def test_loses_no_request_with_more_keepalive_connections(tmp_path: Path, trusted: tuple[str, ...]):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving("--max-connections", 32, "--max-connections-per-address", 32, *trusted) as server:
        (tmp_path / "nginx.conf").write_text(CONFIG.format(folder=tmp_path, upstream=server.port, port=port))
        assert NGINX
        with subprocess.Popen([NGINX, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]) as nginx:
            try:
                wait_for(lambda: is_listening(port))
                with ThreadPoolExecutor(CLIENTS) as pool:
                    counts = sum(pool.map(lambda _: ask(server, port), range(CLIENTS)), Counter())
            finally:
                nginx.terminate()
    assert set(counts) == {200}, (counts, (tmp_path / "error.log").read_text()[-2000:])
    assert counts[200] > 20 * CLIENTS


def is_listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def ask(server: Server, port: int) -> Counter[int]:
    """Send requests for five seconds, with pauses, so that idle connections stay; count the statuses."""
    body, length = binary_request(server.images[:1])
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    counts: Counter[int] = Counter()
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        connection.request("POST", server.infer_path, body, {"Inference-Header-Content-Length": str(length)})
        answer = connection.getresponse()
        answer.read()
        counts[answer.status] += 1
        time.sleep(0.03 * (counts[200] % 3))
    connection.close()
    return counts
