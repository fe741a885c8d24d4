"""A client of two servers that hang, drain, end and start: directly, and behind nginx and HAProxy."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from string import Template

import numpy as np
import pytest
from client_load import Load, kill, listens, url
from PIL import Image
from scripted_server import unused_url
from server_process import Server, serving, start, wait_for

from edgecnn import Client
from edgecnn.errors import ImageTooLarge, ServerUnavailable

# Neither proxy repeats a request itself, so that the client gets all errors.
NGINX = Template("""
daemon off; pid $folder/pid; error_log $folder/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path $folder/body; proxy_temp_path $folder/proxy; fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi; scgi_temp_path $folder/scgi;
  limit_req_zone $$uri zone=rate:1m rate=1r/m;
  upstream servers {
    server 127.0.0.1:$first max_fails=1 fail_timeout=2s; server 127.0.0.1:$second max_fails=1 fail_timeout=2s;
    keepalive 16;
  }
  server {
    listen 127.0.0.1:$port;
    client_max_body_size 64k;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $$http_host;
    proxy_connect_timeout 1s; proxy_read_timeout 2s; proxy_next_upstream off;
    location / { proxy_pass http://servers; }
    location /limited/ { limit_req zone=rate; limit_req_status 429; proxy_pass http://servers/; }
  }
}
""")
HAPROXY = Template("""
global
  maxconn 256
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 2s
  retries 0
frontend all
  bind 127.0.0.1:$port
  default_backend servers
backend servers
  option httpchk GET /v2/health/ready
  server first 127.0.0.1:$first check inter 500ms fall 2 rise 1
  server second 127.0.0.1:$second check inter 500ms fall 2 rise 1
""")


def command(name: str) -> str:
    """Return the path of a proxy, which may be in /usr/sbin."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@contextlib.contextmanager
def balanced(name: str, folder: Path, first: Server, second: Server) -> Iterator[str]:
    """Run a proxy before two servers; yield its URL."""
    balancer = unused_url()
    port = int(balancer.rpartition(":")[2])
    config = {"nginx": NGINX, "haproxy": HAPROXY}[name].substitute(
        folder=folder, port=port, first=first.port, second=second.port
    )
    (folder / "config").write_text(config)
    options = (
        ["-c", str(folder / "config"), "-p", str(folder)] if name == "nginx" else ["-db", "-f", str(folder / "config")]
    )
    process = subprocess.Popen([command(name), *options], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None
        yield balancer
    finally:
        process.terminate()
        process.wait(60)


def send(server: Server, number: int) -> None:
    """Send a signal to the processes of a server."""
    for pid in (server.process.pid, *server.worker_pids()):
        os.kill(pid, number)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nginx", "haproxy", None])
def test_no_call_fails_while_one_of_two_servers_is_well(name: str | None, tmp_path: Path):
    if name is not None:
        command(name)
    with contextlib.ExitStack() as stack:
        first, second = stack.enter_context(serving()), stack.enter_context(serving())
        urls: str | list[str] = [url(first), url(second)]
        if name is not None:
            urls = stack.enter_context(balanced(name, tmp_path, first, second))
        client = stack.enter_context(Client(urls, timeout_s=20))
        with Load(client) as load:
            load.more()
            send(first, signal.SIGSTOP)  # it hangs
            began = time.monotonic()
            load.more()
            wait_for(lambda: time.monotonic() - began > 5)
            load.more()
            send(first, signal.SIGCONT)
            load.more()
            assert first.stop() == 0  # it drains
            load.more()  # it has ended
            process, lines = start("--port", first.port)  # it starts
            try:
                wait_for(lambda: any("edgecnn serves" in line for line in lines))
                load.more()
                time.sleep(3)  # until the proxy uses it again
                kill(second)
                load.more()
                load.end()
            finally:
                process.terminate()
                process.wait(60)


@pytest.mark.slow
def test_names_the_limits_of_nginx(tmp_path: Path):
    command("nginx")
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    with serving() as server, balanced("nginx", tmp_path, server, server) as balancer:
        with (
            Client(balancer) as client,
            pytest.raises(ImageTooLarge, match=r"large\.png: .*client_max_body_size in nginx"),
        ):
            client.predict(tmp_path / "large.png")
        with Client(f"{balancer}/limited", timeout_s=2) as client:
            client.models()
            with pytest.raises(
                ServerUnavailable, match="429: a web page, '429 Too Many Requests'; a limit of the rate"
            ):
                client.models()
