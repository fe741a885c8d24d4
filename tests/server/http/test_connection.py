"""Tests of valid requests, and of clients that disconnect."""

import json
import socket
import time
from contextlib import suppress

import pytest
from http_site import GET, Site, get, is_closed, post, read_all, read_answer, serving, statuses, until

from edgecnn.server.http.message import Response


def test_serves_requests_in_sequence(site: Site):
    with site.client() as sock:
        for body in (b"one", b"", b"three" * 100_000):
            sock.sendall(post("/echo", body))
            answer = read_answer(sock)
            assert (answer.status, answer.body) == (200, body)
            assert "connection" not in answer.headers
            assert answer.headers["date"].endswith("GMT")
    assert until(lambda: site.listener.open_connections == 0)


def test_accepts_a_request_byte_by_byte(site: Site):
    with site.client() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post("/echo", b"body") + GET:
            sock.sendall(bytes([byte]))
            time.sleep(0.001)
        assert read_answer(sock).body == b"body"
        assert read_answer(sock).body == b"/x"


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_accepts_an_empty_line_in_two_packets(site: Site, cut: int):
    with site.client() as sock:
        sock.sendall(GET[:-cut])
        time.sleep(0.05)
        sock.sendall(GET[-cut:] + post("/echo", b"next"))
        assert read_answer(sock).body == b"/x"
        assert read_answer(sock).body == b"next"


def test_passes_the_head_to_the_application(site: Site):
    site.one(get("/a%2Fb/c?d=e?f", "X-Many: 1", "Accept: */* ", "x-MANY: 2", "X-Empty:"))
    head = site.desk.admitted[0]
    assert (head.method, head.path, head.query) == ("GET", "/a%2Fb/c", "d=e?f")
    assert head.headers == {"host": "a", "x-many": "1, 2", "accept": "*/*", "x-empty": ""}


def test_host_of_a_url_replaces_the_header(site: Site):
    site.one(b"GET http://there:80/path?q HTTP/1.1\r\nHost: here\r\n\r\n")
    head = site.desk.admitted[0]
    assert (head.path, head.query, head.headers["host"]) == ("/path", "q", "there:80")


def test_joins_chunks_and_drops_trailers(site: Site):
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"4;why=not\r\n\r\n\r\n\r\n3\r\nabc\r\n0\r\nHost: evil\r\n\r\n"
    with site.client() as sock:
        sock.sendall(head + chunks + GET)
        assert read_answer(sock).body == b"\r\n\r\nabc"
        assert read_answer(sock).body == b"/x"
    assert site.desk.admitted[0].headers["host"] == "a"


def test_head_response_has_no_body(site: Site):
    with site.client() as sock:
        sock.sendall(b"HEAD /four HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        assert read_answer(sock, bodiless=True).headers["content-length"] == "5"
        assert read_answer(sock).body == b"/x"


def test_obeys_the_connection_header(site: Site):
    answer = site.talk(get("/x", "Connection: close"))
    assert b"Connection: close\r\n" in answer
    assert b"Connection: close\r\n" in site.talk(b"GET /x HTTP/1.0\r\n\r\n")
    with site.client() as sock:
        for _ in range(2):
            sock.sendall(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert read_answer(sock).headers["connection"] == "keep-alive"


def test_sends_100_continue(site: Site):
    request = post("/echo", b"body", "Expect: 100-continue")
    with site.client() as sock:
        sock.sendall(request[:-4])
        assert read_answer(sock).status == 100
        sock.sendall(request[-4:])
        assert read_answer(sock).body == b"body"


def test_refuses_before_the_body_is_sent(site: Site):
    with site.client() as sock:
        sock.sendall(post("/forbidden", b"x" * 100)[:-100])
        answer = read_answer(sock)
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert is_closed(sock)
    assert site.desk.handled == []
    assert site.desk.refusals == []  # the application counts this refusal


def test_stays_open_after_a_refusal_without_body(site: Site):
    with site.client() as sock:
        sock.sendall(get("/forbidden") + GET)
        assert read_answer(sock).status == 404
        assert read_answer(sock).body == b"/x"


def test_sends_the_error_to_a_sending_client(site: Site):
    with site.client() as sock:
        sock.sendall(post("/forbidden", b"x" * (8 << 20)))
        assert read_answer(sock).status == 404


def test_answers_pipelined_requests_in_order(site: Site):
    with site.client() as sock:
        sock.sendall(get("/slow") + post("/echo", b"second") + get("/held") + get("/never"))
        assert read_answer(sock).body == b"slow"
        assert read_answer(sock).body == b"second"
        assert until(lambda: len(site.desk.handled) == 3)
        assert site.listener.busy == 1
    assert until(lambda: site.desk.gone == ["/held"])
    assert site.desk.unanswered == ["/held"]


def test_limits_the_pipelined_input(site: Site):
    with site.client() as sock:
        sock.sendall(get("/held"))
        sock.settimeout(1.0)
        sent = 0
        with suppress(TimeoutError):
            while sent < 64 << 20:
                sent += sock.send(GET * 1000)
        assert sent < 64 << 20
        assert len(site.desk.handled) == 1
        sock.settimeout(10.0)
        site.on_loop(lambda: site.desk.handled[0].respond(Response(200, b"at last")))
        assert read_answer(sock).body == b"at last"
        assert read_answer(sock).body == b"/x"


def test_answers_a_request_before_garbage(site: Site):
    answers = site.talk(get("/slow") + b"garbage\r\n\r\n")
    assert statuses(answers) == [200, 400]
    assert json.loads(answers[answers.rindex(b"{") :])["error"]
    assert site.desk.refusals == [400]


def test_delivers_responses_after_a_half_close(site: Site):
    with site.client() as sock:
        sock.sendall(get("/slow") + get("/big"))
        sock.shutdown(socket.SHUT_WR)
        answers = read_all(sock)
    assert statuses(answers) == [100, 200, 200]  # the 100 checks whether the client still reads
    assert answers.endswith(site.desk.big)
    assert site.desk.gone == []


def test_releases_an_incomplete_request_once(site: Site):
    half = post("/echo", b"body")[:-1]
    with site.client() as sock:
        sock.sendall(half)
        sock.shutdown(socket.SHUT_WR)
        assert statuses(read_all(sock)) == [400]
    with site.client() as sock:
        sock.sendall(GET + half)
        assert read_answer(sock).body == b"/x"
        assert until(lambda: len(site.desk.admitted) == 3)
    assert until(lambda: site.desk.dropped == 2)
    assert site.one(GET).body == b"/x"
    assert site.desk.dropped == 2


def test_rejects_an_incomplete_request(site: Site):
    for part in (b"GET / HT", post("/echo", b"body")[:-1]):
        with site.client() as sock:
            sock.sendall(part)
            sock.shutdown(socket.SHUT_WR)
            assert statuses(read_all(sock)) == [400]


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_detects_a_disconnect_once(site: Site, reset: bool):
    with site.client() as sock:
        sock.sendall(get("/held"))
        assert until(lambda: site.listener.busy)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    exchange = site.desk.handled[0]
    assert until(lambda: site.on_loop(exchange.is_gone))
    assert until(lambda: site.desk.gone)
    site.on_loop(lambda: exchange.respond(Response(200, b"too late")))
    assert site.desk.gone == ["/held"]
    assert site.listener.busy == 0


def test_detects_a_disconnect_with_unread_input(site: Site):
    with site.client() as sock:
        sock.sendall(get("/held") + GET * 10_000)
        assert until(lambda: site.listener.busy)
        time.sleep(0.1)
    assert until(lambda: site.desk.gone == ["/held"])
    assert len(site.desk.handled) == 1


def test_sends_one_response(site: Site):
    with site.client() as sock:
        sock.sendall(get("/held") + get("/held"))
        assert until(lambda: site.listener.busy)
        first = site.desk.handled[0]
        site.on_loop(lambda: [first.respond(Response(200, b"one")), first.respond(Response(200, b"two"))])
        assert read_answer(sock).body == b"one"
        assert site.listener.busy == 1


def test_ignores_an_upgrade(site: Site):
    wish = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x")
    assert statuses(site.talk(get("/x", *wish))) == [200]
    assert site.talk(post("/echo", GET, *wish)).endswith(GET)
    assert statuses(site.talk(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + GET)) == [200]  # the application answers it
    chunked = get("/x", *wish, "Transfer-Encoding: chunked").replace(b"GET", b"POST")
    assert statuses(site.talk(chunked + b"0\r\n\r\n")) == [400]


def test_replaces_line_breaks_in_header_values():
    with serving() as site, site.client() as sock:
        sock.sendall(get("/held"))
        assert until(lambda: site.listener.busy)
        response = Response(200, b"", (("X-Request-ID", "a\r\nSet-Cookie: b"),))
        site.on_loop(lambda: site.desk.handled[0].respond(response))
        assert read_answer(sock).headers["x-request-id"] == "a  Set-Cookie: b"


def test_logs_nothing_after_a_reset(site: Site):
    for _ in range(5):
        with site.client() as sock:
            sock.sendall(get("/slow") + GET * 1000)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            time.sleep(0.2)
    assert until(lambda: site.listener.open_connections == 0)
