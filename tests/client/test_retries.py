"""A client of servers that refuse, break off, are busy, hang or send malformed responses; wrong options."""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scripted_server import BUSY, CLOSED, CUT, HELD, RESET, Asked, Model, Said, Site, images, reply, site, unused_url

from edgecnn import Client, Retries
from edgecnn.errors import EdgecnnError, ServerError, ServerUnavailable, UsageError

QUICK = Retries(first_rest_s=0.001, longest_rest_s=0.01)


@contextlib.contextmanager
def asking(*models: Model | str, **options: object) -> Iterator[tuple[Client, list[Site]]]:
    with contextlib.ExitStack() as stack:
        sites = [stack.enter_context(site(model)) for model in models if isinstance(model, Model)]
        rest = iter(sites)
        urls = [model if isinstance(model, str) else next(rest).url for model in models]
        yield stack.enter_context(Client(urls, **({"retries": QUICK} | options))), sites  # type: ignore[arg-type]


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
    with asking(model) as (client, (found,)):
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


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 413, 422, 429, 500, 504, 301])
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


NONSENSE = [
    reply(200, body=b""),
    reply(200, body=b"<html>"),
    reply(200, []),
    reply(200, {"outputs": 3}),
    reply(200, {"outputs": [{"name": "other"}]}),
    reply(200, {"outputs": [{"name": "logits", "datatype": "INT8", "shape": [1, 3], "data": [1, 2, 3]}]}),
    reply(200, {"outputs": [{"name": "logits", "datatype": "FP32", "shape": [2, 3], "data": [1] * 6}]}),
    reply(200, {"outputs": [{"name": "logits", "datatype": "FP32", "shape": [1, 3], "data": [1, 2]}]}),
    reply(200, {"outputs": [{"name": "logits", "datatype": "FP32", "shape": [1, 3], "data": ["x", 2, 3]}]}),
    reply(200, {"outputs": [{"name": "logits", "datatype": "FP32", "shape": [1, 3]}]}),
    reply(200, {"outputs": []}, Inference_Header_Content_Length="-1"),
    reply(200, {"outputs": []}, Inference_Header_Content_Length="99999"),
    reply(200, body=b"[" * 100_000),
]


@pytest.mark.parametrize("said", NONSENSE)
def test_rejects_malformed_results(said: Said):
    with asking(Model(faults=[said])) as (client, (found,)):
        with pytest.raises(ServerError, match="does not follow the Open Inference Protocol: ") as caught:
            client.predict(images(1)[0])
        assert str(caught.value).startswith(found.url)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", [reply(200, body=b"<html>hello"), reply(200, {}), reply(200, [1]), reply(404, {})])
def test_rejects_servers_of_other_protocols(said: Said):
    def answer(_: Asked) -> Said:
        return said

    with site(answer) as found, Client(found.url) as client, pytest.raises(ServerError, match=found.url):
        client.predict(images(1)[0])


def test_rejects_logits_that_are_not_finite():
    output = {"name": "logits", "datatype": "FP32", "shape": [1, 3], "data": [1, float("nan"), 3]}
    model = Model(faults=[reply(200, {"outputs": [output]})])
    with asking(model) as (client, _), pytest.raises(ServerError, match="not finite"):
        client.logits(images(1))


def test_shortens_errors_to_one_line():
    with asking(Model(faults=[reply(500, {"error": "a\nb\x1b[31m" + "c" * 10_000})])) as (client, _):
        with pytest.raises(ServerError) as caught:
            client.logits(images(1))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 700


PAGE = b"<p>x" * 5000


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<!DOCTYPE html><html><title>Not\n Found</title>" + PAGE, "a web page, 'Not Found'; is this the URL of"),
        (b"\n<html><body>" + PAGE, "answers 404: a web page; is this the URL of a server of the Open Inference"),
        (b"<html><title>a&lt;\x1b[31m&#27;b" + b"c" * 900 + b"</title>", "web page, 'a< [31mbccc"),
        (b'{"detail": "Not Found"}', 'answers 404: {"detail": "Not Found"}'),
        (b"\x1b]0;mine\x07" + b"x" * 9000, "answers 404: ]0;mine xxx"),
        (b"", "answers 404: an empty body"),
    ],
)
def test_summarizes_other_error_bodies(body: bytes, expected: str):
    refused = pytest.raises(ServerError)
    with asking(Model(faults=[reply(404, body=body)])) as (client, _), refused as caught:
        client.logits(images(1))
    assert expected in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_reports_a_port_without_http():
    with asking(Model(faults=[Said(b"\0\0\x12\x04\0\0\0\0\0\0\x03", "close")] * 12)) as (client, _):
        client.models()
        with pytest.raises(ServerUnavailable, match="its response is not HTTP; is this the port of gRPC"):
            client.logits(images(1))


def test_removes_control_characters():
    entry = {"name": "a\x1b[31m", "state": "UNAVAILABLE", "reason": "\x07gone"}
    refused = pytest.raises(EdgecnnError)
    with site(lambda _: reply(200, [entry])) as found, Client(found.url) as client, refused as caught:
        client.predict(images(1)[0])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://a",
        "file:///etc/passwd",
        "http://",
        "http://a:99999",
        "http://a:b",
        "http://a b",
        "http://a\r\nX: y",
        "http://user:secret@a",
        "http://a?x=1",
        "http://a#x",
        "http://[::1",
        "http://a/v2",
        "http://a/v2/",
        "http://a/v2/models/m/infer",
    ],
)
def test_rejects_wrong_urls(url: str):
    with pytest.raises(UsageError) as caught:
        Client(url)
    assert "secret" not in str(caught.value)
    assert "http://127.0.0.1:8080" in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Client([]),
        lambda: Client(8080),
        lambda: Client(None),
        lambda: Client([8080]),
        lambda: Client(b"http://a"),
        lambda: Client(Path("a")),
        lambda: Client("http://a", model=5),
        lambda: Client("http://a", model=""),
        lambda: Client("http://a", retries=0),
        lambda: Client("http://a", retries="x"),
        lambda: Client("http://a", retries=None),
        lambda: Client("http://a", timeout_s="x"),
        lambda: Client("http://a", timeout_s=None),
        lambda: Client("http://a", timeout_s=0),
        lambda: Client("http://a", timeout_s=float("nan")),
        lambda: Client("http://a", api_key="a b"),
        lambda: Client("http://a", api_key="a\r\nb"),
        lambda: Client("http://a", api_key=""),
        lambda: Client("http://a", api_key=b"0123456789abcdef"),
        lambda: Client("http://a", ca=__file__),
        lambda: Client("https://a", ca=5),
        lambda: Client("https://a", ca="/nowhere.pem"),
        lambda: Client("https://a", ca=__file__),
        lambda: Retries(attempts=0),
        lambda: Retries(attempts="x"),
        lambda: Retries(attempts=2.5),
        lambda: Retries(first_rest_s="x"),
        lambda: Retries(longest_rest_s=None),
        lambda: Retries(first_rest_s=0),
        lambda: Retries(first_rest_s=2, longest_rest_s=1),
    ],
)
def test_rejects_wrong_options(make: Callable[[], object]):
    with pytest.raises(UsageError) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


def test_keeps_a_path_prefix():
    model = Model()

    def answer(asked: Asked) -> Said:
        assert asked.path.startswith("/edge/v2/")
        return model(Asked(asked.connection, asked.method, asked.path.removeprefix("/edge"), asked.headers, asked.body))

    with site(answer) as found, Client(f"{found.url}/edge/") as client:
        assert np.array_equal(client.logits(images(0, 1)).argmax(1), [0, 1])


def test_rejects_use_after_close():
    with asking(Model()) as (client, _):
        client.logits(images(1))
        client.close()
        client.close()
        with pytest.raises(UsageError, match="closed"):
            client.logits(images(1))
