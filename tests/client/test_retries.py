"""Tests of a client of servers that refuse, break off, are busy or hang."""

import re
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from scripted_clients import QUICK, asking
from scripted_server import BUSY, CLOSED, CUT, HELD, RESET, Asked, Model, Said, Site, images, reply, site, unused_url

from edgecnn import Client, Retries
from edgecnn.errors import ServerError, ServerUnavailable


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the duration of each wait for a server."""
    found: list[float] = []

    class Condition(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            found.append(float("inf") if timeout is None else timeout)
            return super().wait(timeout)

    monkeypatch.setattr("edgecnn.client.failover.threading", SimpleNamespace(Condition=Condition))
    return found


def inferences(found: Site) -> int:
    return sum(asked.path.endswith("/infer") for asked in found.asked)


@pytest.mark.parametrize("fault", [RESET, CLOSED, CUT, reply(502, {"error": "no"}), reply(503, {"error": "busy"})])
def test_repeats_a_failed_request(fault: Said):
    model = Model(faults=[fault] * 3)
    with asking(model) as (client, (found,)):
        assert client.predict(images(2)[0]).label == "c"
        assert inferences(found) == 4


def test_bounds_the_attempts():
    model = Model(faults=[reply(503, {"error": "256 requests are already queued"})] * 20)
    with asking(model, retries=Retries(attempts=3, first_rest_s=0.001)) as (client, (found,)):
        with pytest.raises(ServerUnavailable, match=r"answers 503: 256 requests are already queued$") as caught:
            client.predict(images(1)[0])
        assert inferences(found) == 3
        assert caught.value.urls == (found.url,)
        assert found.url in str(caught.value)


def test_reports_a_refused_connection():
    url = unused_url()
    with asking(url) as (client, _), pytest.raises(ServerUnavailable) as caught:
        client.predict(images(1)[0])
    assert re.fullmatch(rf"gave up after \d+ attempts in \d\.\d s: {url}: Connection refused", str(caught.value))


def test_reports_an_unknown_host():
    client = Client("http://nowhere.invalid", retries=Retries(attempts=1))
    with (
        client,
        pytest.raises(ServerUnavailable, match=r"http://nowhere\.invalid: the name of the host cannot be resolved"),
    ):
        client.models()


def test_waits_for_retry_after(waits: list[float]):
    model = Model(faults=[BUSY])
    with asking(model) as (client, (found,)):
        began = time.monotonic()
        assert client.logits(images(1)).shape == (1, 3)
        assert time.monotonic() - began >= 1
        assert waits
        assert inferences(found) == 2


def test_does_not_wait_beyond_the_deadline(waits: list[float]):
    model = Model(faults=[reply(503, {"error": "busy"}, Retry_After=3600)])
    retries = Retries(first_rest_s=3600, longest_rest_s=3600)
    with asking(model, retries=retries) as (client, (found,)):
        with pytest.raises(ServerUnavailable, match="busy"):
            client.logits(images(1))
        assert not waits
        with pytest.raises(ServerUnavailable, match="answers 503: busy"):
            client.logits(images(1))
        assert inferences(found) == 1


def test_uses_another_server_during_back_off(waits: list[float]):
    busy, other = Model(faults=[reply(503, {"error": "busy"}, Retry_After=3600)]), Model()
    with asking(busy, other) as (client, (first, second)):
        for _ in range(20):
            assert client.predict(images(1)[0]).label == "b"
        assert not waits
        assert inferences(first) == 1
        assert inferences(second) == 20


def test_servers_take_turns():
    with asking(Model(), Model()) as (client, sites):
        for _ in range(10):
            client.logits(images(1))
        assert [inferences(found) for found in sites] == [5, 5]


def test_skips_unreachable_servers():
    with asking(unused_url(), Model(), unused_url()) as (client, (found,)):
        labels = [client.predict(images(index % 3)[0]).label for index in range(30)]
        assert labels == ["a", "b", "c"] * 10
        assert inferences(found) == 30


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422, 500, 501, 301])
def test_does_not_repeat_other_errors(status: int):
    model = Model(faults=[reply(status, {"error": "as I said"})])
    with asking(model) as (client, (found,)):
        with pytest.raises(ServerError, match="as I said") as caught:
            client.logits(images(1))
        assert (caught.value.status, caught.value.text, caught.value.url) == (status, "as I said", found.url)
        assert inferences(found) == 1


def test_tries_another_server_after_404():
    missing = reply(404, {"error": "model 'm' is not found"})
    with asking(Model(faults=[missing] * 9), Model(), model="m") as (client, (first, second)):
        assert [client.predict(images(1)[0]).label for _ in range(4)] == ["b"] * 4
        assert inferences(first) >= 1
        assert inferences(second) == 4


def test_reports_404_if_no_server_has_the_model():
    models = [Model(faults=[reply(404, {"error": "as I said"})]) for _ in range(2)]
    with asking(*models, model="m") as (client, sites):
        with pytest.raises(ServerError, match="as I said"):
            client.logits(images(1))
        assert [inferences(each) for each in sites] == [1, 1]


@pytest.mark.parametrize("fault", [HELD, Said(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "hold")])
def test_deadline_holds_if_a_server_hangs(fault: Said):
    model = Model(faults=[fault])
    with asking(model, timeout_s=1) as (client, _):
        client.models()
        began = time.monotonic()
        with pytest.raises(ServerUnavailable):
            client.logits(images(1))
        assert time.monotonic() - began > 0.5


def test_a_hanging_server_leaves_time():
    models = (Model(faults=[HELD]), Model(faults=[HELD]), Model())
    # The first server describes the model, the second one gets the image.
    with asking(*models, model="m", timeout_s=3) as (client, sites):
        assert client.predict(images(1)[0]).label == "b"
        assert inferences(sites[0]) + inferences(sites[1]) >= 1
        assert inferences(sites[2]) == 1


@pytest.mark.slow
def test_a_hanging_description_leaves_time():
    def hanging(asked: Asked) -> Said:
        return HELD if asked.path.endswith("/config") else Model(labels=("x", "y", "z"))(asked)

    with site(hanging) as first, site(Model()) as second:
        with Client([first.url, second.url], model="m", timeout_s=3, retries=QUICK) as client:
            began = time.monotonic()
            assert client.logits(images(1)).argmax() == 1
            assert time.monotonic() - began > 1.4
        assert [asked.path for asked in first.asked][:2] == ["/v2/models/m", "/v2/models/m/config"]
        assert "/v2/models/m/config" in {asked.path for asked in second.asked}


def test_deadline_holds_for_a_slow_body():
    with asking(Model(), timeout_s=1) as (client, (found,)):
        client.logits(images(1))
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        found.answer = lambda _: Said(head, "trickle")
        with pytest.raises(ServerUnavailable, match="no complete response within 1 s"):
            client.logits(images(1))


def test_keeps_connections():
    with asking(Model()) as (client, (found,)):
        for _ in range(20):
            client.predict(images(1)[0])
        assert len(found.asked) > 20
        assert found.connections == 1


def test_reopens_a_closed_connection():
    model = Model()
    closing = iter(range(100))

    def answer(asked: Asked) -> Said:
        return Said(model(asked).content, "close" if next(closing) % 2 else "keep")

    with site(answer) as found, Client(found.url, retries=QUICK) as client:
        assert [client.predict(images(1)[0]).label for _ in range(10)] == ["b"] * 10


def test_keeps_a_path_prefix():
    model = Model()

    def answer(asked: Asked) -> Said:
        assert asked.path.startswith("/edge/v2/")
        return model(Asked(asked.connection, asked.method, asked.path.removeprefix("/edge"), asked.headers, asked.body))

    with site(answer) as found, Client(f"{found.url}/edge/") as client:
        assert np.array_equal(client.logits(images(0, 1)).argmax(1), [0, 1])
