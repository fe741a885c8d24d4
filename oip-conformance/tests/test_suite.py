"""The suite: the reference server passes all cases, and no answer ends the run."""

import contextlib
import json
import math
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from lying_server import Proxied, lying, saying

from oip_conformance.case import LEVELS, Topic
from oip_conformance.cases import TOPICS, health, inference, malformed
from oip_conformance.connection import Client, parse_url
from oip_conformance.discovery import discover
from oip_conformance.subject import Subject
from oip_conformance.suite import Report, run


def at(subject: Subject, port: int, *, timeout_s: float = 5.0) -> Subject:
    return replace(subject, client=Client(parse_url(f"http://127.0.0.1:{port}"), timeout_s=timeout_s))


def test_reference_server_passes_every_case(subject: Subject):
    report = run(subject)
    assert [(each.id, each.expected, each.found) for each in report.failed(*LEVELS)] == []
    assert [each.id for each in report.results if each.outcome == "not applicable"] == ["integers-for-floats"]
    assert sum(each.passed for each in report.totals) == len(report.results) - 1


def test_cases_have_unique_ids_and_sources():
    cases = [case for topic in TOPICS for case in topic.cases]
    assert len({case.id for case in cases}) == len(cases)
    for case in cases:
        assert case.id == case.id.lower()
        assert case.title[:1].isupper() or case.title.startswith(
            ("inputs:", "data:", "null", "model_", "inference_", "binary_")
        )
        assert not case.title.endswith(".")
        assert len(case.source) > 10
        assert case.level != "extension" or case.extension


def test_reports_the_progress_of_every_case(subject: Subject):
    heard: list[tuple[int, int]] = []
    run(subject, topics=(health.topic,), progress=lambda done, total, _: heard.append((done, total)))
    assert heard == [(done, len(health.topic.cases)) for done in range(len(health.topic.cases) + 1)]


def test_skips_extensions_not_listed(subject: Subject):
    report = run(replace(subject, extensions=frozenset()))
    assert {each.outcome for each in report.results if each.level == "extension"} == {"not applicable"}
    assert report.failed(*LEVELS) == ()


ODD = (
    b"[]",
    b"5",
    b'"text"',
    b"null",
    b"{}",
    b"[[[[1]]]]",
    b"[" * 100_000,
    b'{"name": 5, "inputs": {}, "outputs": [5], "model_stats": [5], "versions": {}, "error": []}',
    b'{"model_name": "m", "outputs": [{"name": "logits", "datatype": "FP32", "shape": [1e400], "data": []}]}',
    b'{"model_name": "m", "outputs": [{"name": "l", "datatype": "FP32", "shape": [1], "data": [1'
    + b"0" * 4000
    + b"]}]}",
    b'{"model_name": "m", "outputs": [{"name": "\\ud800", "datatype": "BYTES", "shape": [1], "data": ["\\ud800"]}]}',
    b'{"model_name": "m", "outputs": [{"name": "l", "datatype": ["FP32"], "shape": [1], "data": [1]}]}',
    b'{"inputs": [{}], "outputs": [{"name": {}}], "inference_stats": 1, "model_stats": [{"name": {}}], "input": [{}]}',
    b"\xff\xfe",
    b"",
)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", ODD, ids=lambda body: repr(body[:20]))
def test_continues_after_an_invalid_answer(subject: Subject, body: bytes, status: int):
    head = b"HTTP/1.1 %d Some\r\nContent-Length: %d\r\nInference-Header-Content-Length: 7\r\n\r\n"
    with saying(head % (status, len(body)) + body) as port:
        report = run(at(subject, port))
    assert len(report.results) == sum(len(topic.cases) for topic in TOPICS)
    assert [each.found for each in report.results if "cannot be read" in each.found] == []
    assert report.failed("required")
    assert all(each.found.isprintable() for each in report.results)


NO_HTTP = (
    b"",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\0" * 100,
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
)


@pytest.mark.parametrize("content", NO_HTTP, ids=lambda content: repr(content[:30]))
def test_invalid_http_fails_each_case(subject: Subject, content: bytes):
    with saying(content) as port:
        report = run(at(subject, port), topics=(health.topic,), back_s=0.1)
    required = [each for each in report.results if each.level == "required"]
    assert {each.outcome for each in required} == {"fail"}
    assert [each.found for each in report.results if "cannot be read" in each.found] == []


@contextlib.contextmanager
def dropping() -> Iterator[int]:
    """Send an answer byte by byte; yields the port."""
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
                        if ended.wait(0.02):
                            break
                        connection.sendall(bytes([byte]))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def test_times_out_on_a_slow_answer(subject: Subject):
    with dropping() as port:
        (result, *_) = run(at(subject, port, timeout_s=0.3), topics=(one_case(),), back_s=0.1).results
    assert result.outcome == "fail"
    assert "no complete answer within 0.3 s" in result.found


def one_case() -> Topic:
    return replace(health.topic, cases=health.topic.cases[:1])


def test_stops_when_the_server_is_down(subject: Subject):
    with saying(b"", then_end=True) as port:
        report: Report = run(at(subject, port), topics=(health.topic, malformed.topic), back_s=0.1)
    first, second, *_ = report.results
    assert "then the server does not answer" in first.found
    assert second.found == f"the server has not answered since {first.id}"
    assert {each.outcome for each in report.results[1:] if each.level == "required"} == {"fail"}
    assert {each.outcome for each in report.results if each.level == "expected"} == {"not applicable"}


def test_does_not_compare_answers_that_vary(port: int):
    def noisy(proxied: Proxied) -> None:
        if (
            proxied.path.endswith("/infer")
            and proxied.status == 200
            and proxied.headers["content-type"] == "application/json"
        ):
            document = json.loads(proxied.body)
            counter.append(0)
            logits = document["outputs"][0]
            logits["data"] = [float(len(counter))] * math.prod(logits["shape"])
            proxied.body = json.dumps(document).encode()

    counter: list[int] = []
    with lying(port, noisy) as proxy:
        subject = discover(Client(parse_url(f"http://127.0.0.1:{proxy}")))
        assert not subject.is_repeatable
        report = run(subject, topics=(inference.topic,))
    assert report.failed(*LEVELS) == ()
    assert "differently each time" in next(each.found for each in report.results if each.id == "infer")
