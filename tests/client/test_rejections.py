"""Tests of what a client rejects: malformed responses, errors that are not JSON, and wrong URLs and options."""

from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_clients import asking
from scripted_server import Asked, Model, Said, images, reply, site

from edgecnn import Client, Retries
from edgecnn.errors import EdgecnnError, ServerError, ServerUnavailable, UsageError

NONSENSE = [
    reply(200, body=b""),
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
        lambda: Retries(longest_retry_after_s=-1),
        lambda: Retries(longest_retry_after_s=float("inf")),
        lambda: Retries(longest_retry_after_s=float("nan")),
        lambda: Retries(longest_retry_after_s="10"),
    ],
)
def test_rejects_wrong_options(make: Callable[[], object]):
    with pytest.raises(UsageError) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


def test_rejects_use_after_close():
    with asking(Model()) as (client, _):
        client.logits(images(1))
        client.close()
        client.close()
        with pytest.raises(UsageError, match="closed"):
            client.logits(images(1))
