"""Turns and rests, without a clock."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgecnn.client.options import Retries, check_urls
from edgecnn.client.rotation import Rotation, Server

RETRIES = Retries(first_rest_s=1, longest_rest_s=8)


def turns(rotation: Rotation, count: int, *, now: float = 0) -> list[str]:
    return [rotation.choose(now)[0].url for _ in range(count)]


def test_all_have_their_turns():
    assert turns(Rotation(["a", "b", "c"], RETRIES), 7) == ["a", "b", "c", "a", "b", "c", "a"]


def test_one_that_failed_rests_and_the_others_have_its_turns():
    rotation = Rotation(["a", "b", "c"], RETRIES)
    rotation.failed(rotation.servers[1], "it broke", began=0, now=0, retry_after_s=5)
    assert turns(rotation, 4) == ["a", "c", "a", "c"]
    assert "b" in turns(rotation, 3, now=7)
    assert rotation.last_reason() == "it broke"


def test_rests_have_bounds_that_double():
    assert [RETRIES.longest_after(failures) for failures in (1, 2, 3, 4, 5, 5000)] == [1, 2, 4, 8, 8, 8]
    rotation = Rotation(["a"], RETRIES)
    now = 0.0
    for bound in (1, 2, 4, 8, 8):
        rotation.failed(rotation.servers[0], "", began=now, now=now)
        assert 0 <= rotation.servers[0].rests_until - now <= bound
        now += 10


def test_rests_are_random():
    rests = set()
    for _ in range(20):
        rotation = Rotation(["a"], RETRIES)
        rotation.failed(rotation.servers[0], "", began=0, now=0)
        rests.add(rotation.servers[0].rests_until)
    assert len(rests) == 20


def test_where_all_rest_the_one_that_rests_least_is_waited_for():
    rotation = Rotation(["a", "b"], RETRIES)
    for server, rest_s in zip(rotation.servers, (50, 20), strict=True):
        rotation.failed(server, "", began=0, now=0, retry_after_s=rest_s)
    server, wait_s = rotation.choose(10)
    assert server.url == "b"
    assert 10 <= wait_s <= 11
    server, wait_s = rotation.choose(10, without={server})
    assert server.url == "a"
    assert 40 <= wait_s <= 41


def test_one_that_has_rested_is_tried_by_one_request_first():
    rotation = Rotation(["a", "b"], RETRIES)
    a = rotation.servers[0]
    rotation.failed(a, "", began=0, now=0)
    assert sorted(turns(rotation, 4, now=2)) == ["a", "b", "b", "b"]
    rotation.answered(a, began=2)
    assert sorted(turns(rotation, 4, now=2)) == ["a", "a", "b", "b"]


@pytest.mark.parametrize("count", [1, 8])
def test_requests_that_fail_together_are_one_failure(count: int):
    rotation = Rotation(["a"], RETRIES)
    a = rotation.servers[0]
    for _ in range(count):
        rotation.failed(a, "", began=0, now=1)
    assert a.failures == 1


def test_an_answer_to_an_older_request_does_not_end_a_rest():
    rotation = Rotation(["a"], RETRIES)
    a: Server = rotation.servers[0]
    rotation.failed(a, "", began=1, now=2, retry_after_s=9)
    rotation.answered(a, began=1)
    assert a.failures == 1
    assert rotation.choose(3)[1] >= 8
    rotation.answered(a, began=3)
    assert rotation.choose(3) == (a, 0)


def test_who_waits_is_called_when_the_server_has_answered_another():
    rotation = Rotation(["a"], RETRIES)
    a = rotation.servers[0]
    rotation.failed(a, "", began=time.monotonic(), now=time.monotonic(), retry_after_s=1000)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(rotation.next, time.monotonic() + 2000) for _ in range(3)]
        rotation.answered(a, began=time.monotonic())
        assert [each.result(60) for each in waiting] == [a, a, a]


def test_a_rest_beyond_the_deadline_is_not_waited_for():
    rotation = Rotation(["a"], RETRIES)
    now = time.monotonic()
    assert rotation.next(now) is None
    rotation.failed(rotation.servers[0], "", began=now, now=now, retry_after_s=1000)
    assert rotation.next(time.monotonic() + 900) is None


def test_urls_are_taken_once_and_without_their_end():
    found = check_urls(["http://a:1/", "HTTP://a:1", "https://[::1]:8080/edge/", "http://a:1"])
    assert found == ("http://a:1", "https://[::1]:8080/edge")
