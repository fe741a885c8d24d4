"""Faults in transport, with a real model. `http/` tests the connections alone.

The number in a comment is a row in the project's table of faults.
"""

import contextlib
import gzip
import json
import re
import resource
import socket
import ssl
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from held_engine import Held
from server_process import Server, binary_request, read_all, serving, wait_for

SLOW_S = 2.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def tight_server() -> Iterator[Server]:
    """Serve with short timeouts and a small body limit."""
    timeouts = [part for name in ("header", "body", "write") for part in (f"--{name}-timeout-s", SLOW_S)]
    with serving("--max-body-mb", 1, *timeouts) as server:
        yield server


@pytest.fixture
def tight(tight_server: Server) -> Iterator[Server]:
    yield tight_server
    tight_server.unharmed()


def head(server: Server, *headers: str) -> bytes:
    """Return the head of an inference request."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"POST {server.infer_path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()


def golden_request(server: Server) -> bytes:
    body, length = binary_request(server.images[:3])
    return head(server, f"Content-Length: {len(body)}", f"Inference-Header-Content-Length: {length}") + body


def statuses(answers: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def json_request(server: Server) -> bytes:
    pixels = server.images[0].ravel().tolist()
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 32, 32, 1], "data": pixels}
    return json.dumps({"inputs": [tensor]}).encode()


@contextlib.contextmanager
def peak_below(server: Server, growth: int) -> Iterator[None]:
    """Check that the worker's peak memory grows by less than `growth` bytes."""
    (pid,) = server.worker_pids()
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # resets the peak
    before = _peak(pid)
    yield
    assert _peak(pid) - before < growth


def _peak(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)])
def test_rejects_a_large_body_before_reading_it(server: Server, expect: tuple[str, ...]):  # 42
    with server.good_neighbour():
        answer = server.raw(head(server, f"Content-Length: {1 << 31}", *expect))
    assert statuses(answer) == [413]


def test_reads_a_chunked_body_only_to_the_limit(tight: Server):  # 43
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    with tight.good_neighbour(), peak_below(tight, 16 * MIB), tight.connect() as sock:
        sock.sendall(head(tight, "Transfer-Encoding: chunked"))
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                sock.sendall(chunk)
        assert statuses(read_all(sock)) in ([413], [])  # the server may reset a client that is still sending
    assert statuses(tight.raw(head(tight, "Transfer-Encoding: chunked") + 17 * chunk)) == [413]


def test_accepts_chunks_of_one_byte(tight: Server):  # 44
    body = json_request(tight)
    body += b" " * (200_000 - len(body))
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    with tight.good_neighbour(), peak_below(tight, 16 * MIB):
        answer = tight.raw(head(tight, "Transfer-Encoding: chunked", "Connection: close") + chunks)
    assert statuses(answer) == [200]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_limits_memory_for_a_compressed_bomb(tight: Server, coding: str):  # 45
    deflate = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    start = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    bomb = start + 990 * (deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH))
    assert 0.9 * MIB < len(bomb) < MIB
    with tight.good_neighbour(), peak_below(tight, 24 * MIB):
        reply = tight.post(bomb, {"Content-Encoding": coding})
    assert reply.status == 413
    assert "1048576" in reply.error


def test_rejects_a_damaged_compressed_body(server: Server):  # 45
    whole = gzip.compress(json_request(server))
    assert server.post(whole, {"Content-Encoding": "gzip"}).status == 200
    for body in (whole[:-9], whole + b"more", b"not gzip at all", gzip.compress(whole), b"\x1f\x8b"):
        reply = server.post(body, {"Content-Encoding": "gzip"})
        assert reply.status == 400
        assert reply.error


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "nonsense"])
def test_rejects_an_unknown_content_coding(server: Server, coding: str):  # 46
    reply = server.post(b"...", {"Content-Encoding": coding})
    assert (reply.status, reply.headers["accept-encoding"]) == (415, "gzip, deflate")


SMUGGLED = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "length",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: +5",),
        ("Content-Length: -1",),
        ("Content-Length: 0x10",),
        ("Transfer-Encoding: chunked, identity",),
    ],
)
def test_rejects_an_ambiguous_length(server: Server, length: tuple[str, ...]):  # 47
    before = server.metrics()["received"]
    assert statuses(server.raw(head(server, *length) + b"0\r\n\r\n" + SMUGGLED)) == [400]
    assert server.metrics()["received"] == before


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * MIB, 431),
        (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 1000 + b"\r\n", 431),
        (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n", 400),
    ],
)
def test_rejects_an_invalid_head(server: Server, request_: bytes, status: int):  # 48
    assert statuses(server.raw(request_)) == [status]


@pytest.mark.slow
def test_survives_500_slow_clients(tight: Server):  # 49
    with tight.good_neighbour(), contextlib.ExitStack() as slow:
        socks = [slow.enter_context(tight.connect()) for _ in range(500)]
        for byte in b"POST":
            for sock in socks:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(bytes([byte]))
            time.sleep(0.2)
        answers = [read_all(sock) for sock in socks]
    # With the good requests, the address has more connections than it may have: some make room.
    assert {tuple(statuses(answer)) for answer in answers} <= {(408,), (503,)}


def test_closes_a_connection_that_sends_nothing(tight: Server):  # 49
    with tight.connect() as sock:
        assert read_all(sock) == b""


def test_times_out_on_a_slow_body(tight: Server):  # 50
    with tight.good_neighbour(), tight.connect() as sock:
        sock.sendall(head(tight, "Content-Length: 1000") + b"{")
        assert statuses(read_all(sock)) == [408]


@pytest.mark.slow
def test_does_not_buffer_unread_answers(tight: Server):  # 51
    with tight.good_neighbour(), peak_below(tight, 16 * MIB), socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", tight.port))
        sock.settimeout(5 * SLOW_S)
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            sock.sendall(1_000_000 * SMUGGLED)


def test_answers_a_half_closed_connection(held: Held):  # 54
    with held.engine.held(), held.server.connect() as sock:
        sock.sendall(golden_request(held.server))
        wait_for(lambda: held.server.metrics()["in_flight"] == 1)
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.5)  # the server checks twice for clients that left
        held.engine.clear("hold")
        answer = read_all(sock)
    assert statuses(answer)[-1] == 200
    assert answer.endswith(held.server.golden[-120:])


def test_answers_pipelined_requests_in_order(server: Server):  # 55
    page = f"GET /v2/models/{server.name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    answer = server.raw(golden_request(server) + page + golden_request(server) + b"garbage\r\n\r\n")
    assert statuses(answer) == [200, 200, 200, 400]
    assert answer.count(server.golden[-120:]) == 2


def client_hello() -> bytes:
    """Return the ClientHello of a TLS client."""
    said = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname="localhost").do_handshake()
    hello = said.read()
    assert hello[:2] == b"\x16\x03"  # a handshake record
    return hello


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
OTHERS = {
    "TLS": client_hello(),
    "HTTP/2": PREFACE + SETTINGS,  # gRPC clients start like this too
    "SSH": b"SSH-2.0-x\r\n",
    "zeros": b"\0" * 100,
}


@pytest.mark.parametrize("other", OTHERS)
def test_rejects_other_protocols_without_logs(server: Server, other: str):  # 56
    before, refused = len(server.lines), refusals(server)
    with server.good_neighbour():
        for _ in range(200):
            answer = server.raw(OTHERS[other])  # reads until the server closes
            assert statuses(answer) == [400]
            assert b"not an HTTP request" in answer
    assert refusals(server) == refused + 200
    assert len(server.lines) == before


@pytest.mark.parametrize("other", OTHERS)
def test_rejects_other_protocols_byte_by_byte(server: Server, other: str):  # 56
    before = len(server.lines)
    with server.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            for byte in OTHERS[other]:
                sock.sendall(bytes([byte]))
        assert statuses(read_all(sock)) == [400]
    assert len(server.lines) == before


def test_fails_tls_on_the_plain_port_at_once(server: Server):  # 56
    with server.connect() as plain, pytest.raises(ssl.SSLError):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


def refusals(server: Server) -> float:
    """Return the number of requests rejected with 400 before they reached a model."""
    samples = [each for each in server.samples() if each.name == "edgecnn_http_refused_total"]
    return sum(each.value for each in samples if each.labels["status"] == "400")


@pytest.mark.slow
def test_does_not_spin_without_descriptors(server: Server):  # 57
    (pid,) = server.worker_pids()
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (server.base.descriptors + 8, limits[1]))
    try:
        with contextlib.ExitStack() as many:
            socks = [many.enter_context(server.connect()) for _ in range(40)]
            time.sleep(0.5)
            before = _processor_s(pid)
            time.sleep(1.0)
            assert _processor_s(pid) - before < 0.5
            for sock in socks[:-1]:
                sock.close()
            socks[-1].sendall(golden_request(server))
            assert socks[-1].recv(15) == b"HTTP/1.1 200 OK"
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
