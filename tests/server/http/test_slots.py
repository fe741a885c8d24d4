"""Tests of the limits of connections, in all and by address: who makes room, and who never does."""

import logging
import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from certificates import make_pair
from http_site import GET, Site, get, is_closed, post, read_all, read_answer, serving, statuses, until

from edgecnn.server.http.limits import Limits
from edgecnn.server.http.message import Response
from edgecnn.server.http.slots import RECENT_S
from edgecnn.server.proxies import TrustedProxies
from edgecnn.server.tls import server_context

HALF = b"GET /x HTTP/1.1\r\nX"
LOCAL = TrustedProxies.parse("127.0.0.1")


def connect(site: Site, stack: ExitStack, sent: bytes = b"") -> socket.socket:
    """Connect a client that sends a part of a request, and wait until the server has accepted it."""
    slots = site.listener.slots
    before = slots.evicted + len(slots.all)
    sock = stack.enter_context(site.client())
    sock.sendall(sent)
    assert until(lambda: slots.evicted + len(slots.all) > before)
    return sock


def warning(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """Wait for the only warning, and remove it from the log."""
    assert until(lambda: caplog.records)
    (record,) = caplog.records
    caplog.clear()
    return record


def test_the_longest_without_a_request_makes_room(loop_kind: str, caplog: pytest.LogCaptureFixture):
    with serving(loop_kind, Limits(max_connections=6)) as site, ExitStack() as stack:
        held = connect(site, stack, get("/held"))
        idle = connect(site, stack, GET)
        assert read_answer(idle).status == 200
        rivals = [connect(site, stack, part) for part in (HALF, post("/echo", b"body")[:-1], b"", b"")]
        assert until(lambda: len(site.desk.admitted) == 3)
        time.sleep(RECENT_S)
        for sock, said in ((idle, []), (rivals[0], [503]), (rivals[1], [503]), (rivals[2], []), (rivals[3], [])):
            connect(site, stack)
            assert statuses(read_all(sock)) == said
            assert site.listener.open_connections == 6
        assert (site.listener.slots.evicted, site.listener.slots.refused) == (5, 0)
        assert site.desk.refusals == [503, 503]
        site.on_loop(lambda: site.desk.handled[0].respond(Response(200, b"at last")))
        assert read_answer(held).body == b"at last"
        record = warning(caplog)
        assert record.levelno == logging.WARNING
        assert vars(record)["busiest_address"] == "127.0.0.1"
        assert vars(record)["most_of_one_address"] == 6


def test_serves_during_a_flood_of_half_requests(caplog: pytest.LogCaptureFixture):
    with serving(limits=Limits(max_connections=50)) as site, ExitStack() as stack:
        for _ in range(4):
            for _ in range(50):
                stack.enter_context(site.client()).sendall(HALF)
            assert site.one(GET).status == 200
        assert site.listener.open_connections <= 50
        assert site.listener.slots.evicted >= 150
        assert warning(caplog)
        time.sleep(0.6)  # two sweeps: at most one warning a minute
        assert not caplog.records


def test_an_address_replaces_its_own_connections(caplog: pytest.LogCaptureFixture):
    limits = Limits(max_connections=9, max_connections_per_address=3)
    with serving(limits=limits) as site, ExitStack() as stack:
        held = connect(site, stack, get("/held"))
        half, other = connect(site, stack, HALF), connect(site, stack, HALF)
        connect(site, stack, get("/held"))
        assert statuses(read_all(half)) == [503]
        connect(site, stack, get("/held"))
        assert statuses(read_all(other)) == [503]
        with site.client() as fourth:
            assert is_closed(fourth)  # all three are being answered
        slots = site.listener.slots
        assert (len(slots.all), slots.evicted, slots.refused) == (3, 2, 1)
        assert vars(warning(caplog))["most_of_one_address"] == 3
        site.on_loop(lambda: [each.respond(Response(200, b"at last")) for each in site.desk.handled])
        assert read_answer(held).body == b"at last"


def test_a_trusted_proxy_has_no_limit_per_address():
    limits = Limits(max_connections_per_address=2, trusted_proxies=LOCAL)
    with serving(limits=limits) as site, ExitStack() as stack:
        for _ in range(6):
            assert "connection" not in read_answer(connect(site, stack, GET)).headers
        assert (site.listener.open_connections, site.listener.slots.evicted) == (6, 0)


def test_a_trusted_proxy_names_the_client():
    forwarded = get("/x", "X-Forwarded-For: 6.6.6.6, 1.2.3.4")
    with serving(limits=Limits(trusted_proxies=LOCAL)) as site:
        for request in (forwarded, GET, get("/x", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 127.0.0.1")):
            site.one(request)
        assert [each.client for each in site.desk.handled] == ["1.2.3.4", "127.0.0.1", "1.2.3.4"]
        assert {each.peer for each in site.desk.handled} == {"127.0.0.1"}
    with serving() as site:
        site.one(forwarded)
        assert site.desk.handled[0].client == "127.0.0.1"


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (Limits(max_connections=16), 14),
        (Limits(max_connections=17), 14),
        (Limits(max_connections=1), 0),
        (Limits(max_connections_per_address=8), 7),
    ],
)
def test_closes_after_the_response_near_the_limit(limits: Limits, kept: int):
    with serving(limits=limits) as site, ExitStack() as stack:
        for number in range(kept + 1):
            answer = read_answer(sock := connect(site, stack, GET))
            assert ("connection" in answer.headers) == (number == kept)
        assert is_closed(sock)
        sock.close()
        assert until(lambda: site.listener.open_connections == kept)
        assert site.listener.slots.evicted == 0
        stack.close()


def test_a_client_that_does_not_read_makes_room(caplog: pytest.LogCaptureFixture):
    with serving(limits=Limits(max_connections=2)) as site, ExitStack() as stack:
        for _ in range(2):
            slow = stack.enter_context(socket.socket())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", site.port))
            slow.sendall(get("/big"))
        assert until(lambda: len(site.desk.handled) == 2)
        assert site.one(GET).status == 200  # after RECENT_S
        assert warning(caplog)


def test_an_unfinished_handshake_makes_room(loop_kind: str, caplog: pytest.LogCaptureFixture, tmp_path: Path):
    certificate, key = make_pair(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))
    context = server_context(certificate, key)
    with serving(loop_kind, Limits(max_connections=4), ssl_context=context) as site, ExitStack() as stack:
        silent = [connect(site, stack) for _ in range(4)]
        with site.client() as plain, trusting.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(GET)
            assert read_answer(sock).status == 200
        assert is_closed(silent[0])
        assert warning(caplog)


def test_a_burst_beyond_the_limit_leaves_no_connection(loop_kind: str, caplog: pytest.LogCaptureFixture):
    with serving(loop_kind, Limits(max_connections_per_address=1)) as site, ExitStack() as stack:

        def burst() -> None:  # accepted in one step of the loop, before any transport is open
            for _ in range(30):
                stack.enter_context(site.client())

        site.on_loop(burst)
        assert until(lambda: site.listener.slots.evicted == 29)
        assert site.listener.open_connections == 1
        assert warning(caplog)
