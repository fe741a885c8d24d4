"""Turns and back-off of servers, with simulated times."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgecnn.client.failover import Rotation, Server
from edgecnn.client.options import Retries, parse_urls

RETRIES = Retries(first_rest_s=1, longest_rest_s=8)


def turns(rotation: Rotation, count: int, *, now: float = 0) -> list[str]:
    return [rotation.choose(now)[0].url for _ in range(count)]


def test_servers_take_turns():
    assert turns(Rotation(["a", "b", "c"], RETRIES), 7) == ["a", "b", "c", "a", "b", "c", "a"]


def test_skips_a_server_in_back_off():
    rotation = Rotation(["a", "b", "c"], RETRIES)
    rotation.failed(rotation.servers[1], "it broke", sent_at=0, now=0, retry_after_s=5)
    assert turns(rotation, 4) == ["a", "c", "a", "c"]
    assert "b" in turns(rotation, 3, now=7)
    assert rotation.last_reason() == "it broke"


def test_doubles_the_bound_of_the_back_off():
    assert [RETRIES.longest_after(failures) for failures in (1, 2, 3, 4, 5, 5000)] == [1, 2, 4, 8, 8, 8]
    rotation = Rotation(["a"], RETRIES)
    now = 0.0
    for bound in (1, 2, 4, 8, 8):
        rotation.failed(rotation.servers[0], "", sent_at=now, now=now)
        assert 0 <= rotation.servers[0].available_at - now <= bound
        now += 10


def test_back_off_is_random():
    delays = set()
    for _ in range(20):
        rotation = Rotation(["a"], RETRIES)
        rotation.failed(rotation.servers[0], "", sent_at=0, now=0)
        delays.add(rotation.servers[0].available_at)
    assert len(delays) == 20


def test_waits_for_the_shortest_back_off():
    rotation = Rotation(["a", "b"], RETRIES)
    for server, wait_s in zip(rotation.servers, (50, 20), strict=True):
        rotation.failed(server, "", sent_at=0, now=0, retry_after_s=wait_s)
    server, wait_s = rotation.choose(10)
    assert server.url == "b"
    assert 10 <= wait_s <= 11
    server, wait_s = rotation.choose(10, exclude={server})
    assert server.url == "a"
    assert 40 <= wait_s <= 41


def test_sends_one_request_after_a_back_off():
    rotation = Rotation(["a", "b"], RETRIES)
    a = rotation.servers[0]
    rotation.failed(a, "", sent_at=0, now=0)
    assert sorted(turns(rotation, 4, now=2)) == ["a", "b", "b", "b"]
    rotation.answered(a, sent_at=2)
    assert sorted(turns(rotation, 4, now=2)) == ["a", "a", "b", "b"]


@pytest.mark.parametrize("count", [1, 8])
def test_counts_concurrent_failures_once(count: int):
    rotation = Rotation(["a"], RETRIES)
    a = rotation.servers[0]
    for _ in range(count):
        rotation.failed(a, "", sent_at=0, now=1)
    assert a.failures == 1


def test_an_older_request_does_not_end_a_back_off():
    rotation = Rotation(["a"], RETRIES)
    a: Server = rotation.servers[0]
    rotation.failed(a, "", sent_at=1, now=2, retry_after_s=9)
    rotation.answered(a, sent_at=1)
    assert a.failures == 1
    assert rotation.choose(3)[1] >= 8
    rotation.answered(a, sent_at=3)
    assert rotation.choose(3) == (a, 0)


def test_an_answer_wakes_waiting_threads():
    rotation = Rotation(["a"], RETRIES)
    a = rotation.servers[0]
    rotation.failed(a, "", sent_at=time.monotonic(), now=time.monotonic(), retry_after_s=1000)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(rotation.wait, time.monotonic() + 2000) for _ in range(3)]
        rotation.answered(a, sent_at=time.monotonic())
        assert [each.result(60) for each in waiting] == [a, a, a]


def test_does_not_wait_beyond_the_deadline():
    rotation = Rotation(["a"], RETRIES)
    now = time.monotonic()
    assert rotation.wait(now) is None
    rotation.failed(rotation.servers[0], "", sent_at=now, now=now, retry_after_s=1000)
    assert rotation.wait(time.monotonic() + 900) is None


def test_removes_duplicate_urls():
    found = parse_urls(["http://a:1/", "HTTP://a:1", "https://[::1]:8080/edge/", "http://a:1"])
    assert found == ("http://a:1", "https://[::1]:8080/edge")
