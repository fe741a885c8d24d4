"""The web server of the live page: only its own reader, on this machine."""

import http.client
import socket
from collections.abc import Iterator

import pytest

from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.pipeline.training.watching.live_page import LivePage, live_page


@pytest.fixture(scope="module")
def page() -> Iterator[LivePage]:
    with live_page(0) as opened:
        yield opened


def port_of(page: LivePage) -> int:
    return int(page.address.rstrip("/").rpartition(":")[2])


def ask(page: LivePage, path: str, *, method: str = "GET", host: str | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(page), timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_sends_the_page_with_a_strict_policy(page: LivePage):
    answer = ask(page, "/")
    assert answer.status == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe-eval" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil:1"])
def test_rejects_other_hosts(page: LivePage, host: str):
    for path in ("/", "/state", "/pictures"):
        assert ask(page, path, host=host).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:9", "127.0.0.1:8080"])
def test_accepts_the_loopback_and_forwarded_ports(page: LivePage, host: str):
    assert ask(page, "/state", host=host).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/../../etc/passwd", 404), ("GET", "/state?x=1", 200), ("POST", "/", 501)],
)
def test_answers_nothing_else(page: LivePage, method: str, path: str, status: int):
    assert ask(page, path, method=method).status == status


def test_survives_other_bytes(page: LivePage):
    for sent in (b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"G" * 100_000, b""):
        with socket.create_connection(("127.0.0.1", port_of(page))) as connection:
            connection.sendall(sent)
    assert ask(page, "/state").status == 200


def test_listens_on_the_loopback_only(page: LivePage):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        own = probe.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("this machine has only the loopback")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own, port_of(page)), timeout=2)


def test_a_used_port_is_one_line(page: LivePage):
    with pytest.raises(UsageError, match=r"^--watch \d+: Address already in use; choose another port, or 0 for any$"):
        live_page(port_of(page)).__enter__()


def test_the_port_is_free_after_the_end():
    with live_page(0) as first:
        port = port_of(first)
    with live_page(port) as second:
        assert ask(second, "/state").status == 200


def test_shows_why_a_training_failed():
    with pytest.raises(EdgecnnError, match="the loss became nan"), live_page(0) as page:
        raise EdgecnnError("the loss became nan")
    assert b'"phase": "failed", "error": "the loss became nan"' in page.state()
