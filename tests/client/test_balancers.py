"""Tests of a client behind balancers and proxies, which answer in place of a server that hangs, starts or has ended."""

import itertools
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from PIL import Image
from scripted_clients import asking
from scripted_server import CLOSED, CUT, RESET, Asked, Model, Said, images, reply, site

from edgecnn import Client, Retries
from edgecnn.client.failover import Rotation
from edgecnn.client.responses import parse_retry_after
from edgecnn.errors import ImageTooLarge, ServerError, ServerUnavailable

NGINX = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
HAPROXY = (
    b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>"
)
ENVOY = b"upstream connect error or disconnect/reset before headers. reset reason: connection failure"


def page(title: str, **headers: object) -> Said:
    """Return an error page like nginx's; an AWS ALB has the same form."""
    return reply(int(title[:3]), body=NGINX.format(title).encode(), Content_Type="text/html", **headers)


TEMPORARY = {
    "nginx: the server has ended": page("502 Bad Gateway"),
    "nginx: limit_req": page("503 Service Temporarily Unavailable"),
    "nginx: the server hangs": page("504 Gateway Time-out"),
    "nginx: limit_req_status 429": page("429 Too Many Requests"),
    "nginx: too few connections": page("500 Internal Server Error"),
    "HAProxy: no server is up": reply(503, body=HAPROXY),
    "HAProxy: the client was slow": reply(408, body=b"<html><body><h1>408 Request Time-out</h1></body></html>"),
    "Envoy: the server has ended": reply(503, body=ENVOY),
    "Envoy: the server hangs": reply(504, body=b"upstream request timeout"),
    "Traefik": reply(503, body=b"no available server"),
    "Knative": reply(503, body=b"activator overload"),
    "Cloudflare: an unknown error": reply(520, body=b"error code: 520"),
    "Cloudflare: the server is down": page("521 Web server is down"),
    "Cloudflare: no connection": page("522 Connection timed out"),
    "Cloudflare: the server hangs": page("524 A timeout occurred"),
    "Google: an error": page("500 Server Error"),
    "API gateway: rate": reply(429, {"message": "Too Many Requests"}),
    "too early": reply(425, body=b""),
    "ours: the queue is full": reply(503, {"error": "256 requests are already queued"}, Retry_After=0),
    "ours: rate": reply(429, {"error": "slow down"}),
    "ours: late": reply(504, {"error": "the timeout passed"}),
    "kube-proxy: reset": RESET,
    "kube-proxy: closed": CLOSED,
    "a truncated body": CUT,
    "a truncated chunk": Said(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{", "close"),
    "no HTTP": Said(b"SSH-2.0-OpenSSH_9.2\r\n", "close"),
}
"""Answers after which the same request may succeed."""

PROTOCOL = "is this the URL of a server of the Open Inference Protocol"
LASTING = {
    "Envoy: no route": (reply(404, body=b""), f"404: an empty body; {PROTOCOL}"),
    "ingress: default backend": (reply(404, body=b"default backend - 404"), f"default backend - 404; {PROTOCOL}"),
    "Traefik: no route": (reply(404, body=b"404 page not found\n"), f"404 page not found; {PROTOCOL}"),
    "nginx: no location": (page("404 Not Found"), f"a web page, '404 Not Found'; {PROTOCOL}"),
    "nginx: client_max_body_size": (page("413 Request Entity Too Large"), "client_max_body_size"),
    "nginx: TLS": (page("400 The plain HTTP request was sent to HTTPS port"), "it uses TLS: use an https:// URL"),
    "Go: TLS": (reply(400, body=b"Client sent an HTTP request to an HTTPS server.\n"), "use an https:// URL"),
    "nginx: auth_basic": (page("401 Authorization Required", WWW_Authenticate='Basic realm="x"'), "another login"),
    "a firewall": (page("403 Forbidden"), "answers 403: a web page, '403 Forbidden'$"),
    "AWS ALB: too many addresses": (page("463 "), "answers 463: a web page"),
    "a captive portal": (reply(200, body=b"<!DOCTYPE html><title>Wi-Fi login</title>"), f"'Wi-Fi login'; {PROTOCOL}"),
    "a captive portal by RFC 6585": (page("511 Network Authentication Required"), PROTOCOL),
    "to TLS": (page("301 Moved Permanently", Location="https://a.example/v2"), "it redirects to TLS: use an https"),
    "elsewhere": (page("307 Temporary Redirect", Location="/login"), "it redirects to '/login': use the URL of"),
    "nowhere": (page("302 Found"), "answers 302: a web page, '302 Found'$"),
    "a truncated body without a length": (Said(b'HTTP/1.0 200 OK\r\n\r\n{"outpu', "close"), "does not follow"),
    "ours: the engine failed": (reply(500, {"error": "the engine failed"}), "answers 500: the engine failed$"),
    "ours: no such model": (reply(404, {"error": "model 'm' is not found"}), "model 'm' is not found$"),
}
"""Answers of one server that another server may not give, and the error if both servers give it."""


@pytest.mark.parametrize("said", [*TEMPORARY.values(), *(said for said, _ in LASTING.values())])
def test_no_call_fails_while_another_server_is_well(said: Said):
    model = Model()
    patient = Retries(first_rest_s=30, longest_rest_s=30)  # a wait would end the call
    with site(lambda _: said) as broken, site(model) as well:
        with Client([broken.url, well.url], model="m", timeout_s=20, retries=patient) as client:
            assert [client.predict(images(1)[0]).label for _ in range(4)] == ["b"] * 4
            assert client.is_ready()
        assert broken.asked


@pytest.mark.parametrize("said", TEMPORARY.values(), ids=TEMPORARY)
def test_repeats_a_request_after_a_temporary_error(said: Said):
    with asking(Model(faults=[said] * 2)) as (client, (found,)):
        assert client.predict(images(1)[0]).label == "b"
        assert sum(asked.path.endswith("/infer") for asked in found.asked) >= 3


@pytest.mark.parametrize(("said", "expected"), LASTING.values(), ids=LASTING)
def test_reports_an_error_that_every_server_has(said: Said, expected: str):
    models = [Model(faults=[said]), Model(faults=[said])]
    with asking(*models, model="m") as (client, sites):
        with pytest.raises(ServerError, match=re.escape(expected).replace(r"\$", "$")) as caught:
            client.logits(images(1))
        assert [sum(asked.path.endswith("/infer") for asked in found.asked) for found in sites] == [1, 1]
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 413, 415, 422])
def test_a_servers_own_error_is_not_repeated_elsewhere(status: int):
    models = [Model(faults=[reply(status, {"error": "as I said"})]) for _ in range(2)]
    with asking(*models, model="m") as (client, sites):
        with pytest.raises(ServerError, match="as I said"):
            client.logits(images(1))
        assert sum(asked.path.endswith("/infer") for found in sites for asked in found.asked) == 1


def test_mixed_failures_name_every_server():
    models = Model(faults=[page("404 Not Found")] * 9), Model(faults=[page("502 Bad Gateway")] * 20)
    with asking(*models, model="m") as (client, _), pytest.raises(ServerUnavailable) as caught:
        client.logits(images(1))
    assert "'404 Not Found'" in str(caught.value)
    assert "'502 Bad Gateway'" in str(caught.value)


def test_a_proxys_limit_names_the_image(tmp_path: Path):
    Image.new("L", (4, 4)).save(tmp_path / "large.png")
    model = Model(faults=[page("413 Request Entity Too Large")] * 9)
    with asking(model) as (client, _), pytest.raises(ImageTooLarge) as caught:
        client.predict(tmp_path / "large.png")
    assert re.search(r"large\.png: a web page, '413 .*raise its limit \(client_max_body_size", str(caught.value))


def test_a_proxys_error_does_not_hide_the_card():
    model = Model()

    def answer(asked: Asked) -> Said:
        return page("404 Not Found") if asked.path.endswith("/card") else model(asked)

    with site(answer) as found, Client(found.url, model="m") as client:
        with pytest.raises(ServerError, match="404 Not Found"):
            client.predict(images(1)[0])  # the labels would be numbers
        found.answer = model
        assert client.predict(images(1)[0]).label == "b"


def test_a_captive_portal_is_not_ready():
    with site(lambda _: page("200 Login")) as found, Client(found.url) as client:
        assert not client.is_ready()


# Kept connections


def test_repeats_at_once_if_kept_connections_were_closed():
    model, together, closing = Model(), Barrier(4), False

    def answer(asked: Asked) -> Said:
        if closing and asked.connection <= 4:
            return CLOSED
        if not closing and asked.path.endswith("/infer"):
            together.wait(20)  # four connections at once
        return model(asked)

    patient = Retries(attempts=1, first_rest_s=30, longest_rest_s=30)
    with site(answer) as found, Client(found.url, model="m", retries=patient) as client:
        client.card()
        with ThreadPoolExecutor(4) as pool:
            assert [each.shape for each in pool.map(client.logits, [images(1)] * 4)] == [(1, 3)] * 4
        closing = True
        assert [client.predict(images(1)[0]).label for _ in range(4)] == ["b"] * 4
        assert found.connections == 5


def test_a_new_connection_that_is_closed_counts_as_a_failure():
    refused = pytest.raises(ServerUnavailable, match="after 3 attempts")
    with site(lambda _: CLOSED) as found, Client(found.url, retries=Retries(3, first_rest_s=0.001)) as client:
        with refused:
            client.models()
        assert len(found.asked) == 3


def test_follows_connection_close():
    model, numbers = Model(), itertools.count()

    def answer(asked: Asked) -> Said:
        content = model(asked).content.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        return Said(content, "close") if next(numbers) % 2 else model(asked)

    with site(answer) as found, Client(found.url, retries=Retries(attempts=1)) as client:
        assert [client.predict(images(1)[0]).label for _ in range(10)] == ["b"] * 10


# Retry-After

NOW = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("100000", 100_000),
        ("9" * 5000, float("inf")),
        ("Sun, 06 Nov 1994 08:50:07 GMT", 30),  # IMF-fixdate
        ("Sunday, 06-Nov-94 08:50:07 GMT", 30),  # RFC 850
        ("Sun Nov  6 08:50:07 1994", 30),  # asctime
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", 0),
        ("-5", 0),
        ("1.5", 0),
        ("1, 2", 0),
        ("\u0661\u0662", 0),
        ("soon", 0),
        ("", 0),
    ],
)
def test_reads_both_forms_of_retry_after(text: str, expected: float):
    assert parse_retry_after({"retry-after": text, "date": NOW}) == expected


def test_a_date_without_the_servers_clock_counts_from_ours():
    assert parse_retry_after({}) == 0
    assert parse_retry_after({"retry-after": NOW}) == 0
    assert parse_retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}) > 1e9
    assert parse_retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": "yesterday"}) > 1e9


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("text", ["100000", "9" * 30, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_caps_retry_after(status: int, text: str):
    short = Retries(first_rest_s=0.001, longest_rest_s=0.01, longest_retry_after_s=0.1)
    with asking(Model(faults=[reply(status, {"error": "x"}, Retry_After=text)]), retries=short) as (client, (found,)):
        client.models()
        began = time.monotonic()
        assert client.logits(images(1)).shape == (1, 3)
        assert 0.1 <= time.monotonic() - began < 20
        assert sum(asked.path.endswith("/infer") for asked in found.asked) == 2


def test_half_of_the_timeout_caps_retry_after():
    with asking(Model(faults=[reply(503, {"error": "x"}, Retry_After=100_000)]), timeout_s=1) as (client, _):
        assert client.logits(images(1)).shape == (1, 3)


def test_a_server_that_failed_slowly_rests_longer():
    retries = Retries(first_rest_s=0.001, longest_rest_s=0.001, longest_retry_after_s=10)
    several, single = Rotation(["a", "b"], retries), Rotation(["a"], retries)
    for took_s, expected_s in ((3, 3), (100, 10)):
        several.failed(several.servers[0], "", sent_at=0, now=took_s)
        single.failed(single.servers[0], "", sent_at=0, now=took_s)
        assert several.servers[0].available_at - took_s == pytest.approx(expected_s, abs=0.01)
        assert single.servers[0].available_at - took_s == pytest.approx(0, abs=0.01)
