"""Cases fail for servers that do not conform: each lie, and the cases that must find it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from lying_server import Lie, Proxied, lying, saying

from oip_conformance.case import LEVELS, Topic
from oip_conformance.cases import (
    binary,
    classification,
    compression,
    health,
    http,
    inference,
    malformed,
    malformed_binary,
    malformed_http,
    raw,
    refusals,
    repository,
    statistics,
)
from oip_conformance.connection import Client, parse_url
from oip_conformance.subject import Subject
from oip_conformance.suite import run


def about(end: str, change: Callable[[Any], Any], *, status: int = 200) -> Lie:
    """Change the JSON of answers with that status to paths with that ending."""

    def lie(proxied: Proxied) -> None:
        length = int(proxied.headers.get("inference-header-content-length", len(proxied.body)))
        if proxied.path.endswith(end) and proxied.status == status and "content-encoding" not in proxied.headers:
            document = json.loads(proxied.body[:length])
            document = change(document) or document
            header = json.dumps(document).encode()
            proxied.body = header + proxied.body[length:]
            if "inference-header-content-length" in proxied.headers:
                proxied.headers["inference-header-content-length"] = str(len(header))

    return lie


def output(**changes: Any) -> Lie:
    return about("/infer", lambda document: document["outputs"][0].update(changes))


def header(name: str, value: str | None, *, end: str = "", only: int | None = None) -> Lie:
    """Set a header, or remove it."""

    def lie(proxied: Proxied) -> None:
        if proxied.path.endswith(end) and only in (None, proxied.status):
            proxied.headers.pop(name, None)
            if value is not None:
                proxied.headers[name] = value

    return lie


def instead(old: int, new: int, body: bytes | None = None, *, end: str = "") -> Lie:
    """Replace the status of an answer, and its body where one is given."""

    def lie(proxied: Proxied) -> None:
        if proxied.status == old and proxied.path.endswith(end):
            proxied.status = new
            proxied.body = proxied.body if body is None else body

    return lie


def claims_gzip(proxied: Proxied) -> None:
    if "accept-encoding" not in proxied.sent:
        proxied.headers["content-encoding"] = "gzip"


def reversed_classes(document: Any) -> None:
    entry = document["outputs"][0]
    if entry["datatype"] == "BYTES" and "data" in entry:
        entry["data"] = entry["data"][::-1]


LIES: dict[str, tuple[Topic, Lie, set[str]]] = {
    "live answers 503": (health.topic, instead(200, 503, end="/live"), {"live", "live-body"}),
    "live without body": (health.topic, instead(200, 200, b"", end="/live"), {"live-body"}),
    "ready answers 400": (
        health.topic,
        instead(200, 400, end="/ready"),
        {"ready", "ready-body", "model-ready", "model-ready-version", "model-ready-body"},
    ),
    "extensions as text": (
        health.topic,
        about("/v2", lambda document: document.update(extensions="all")),
        {"server-metadata"},
    ),
    "metadata as text": (health.topic, header("content-type", "text/plain"), {"metadata-media-type"}),
    "metadata of another model": (
        health.topic,
        about("/digits", lambda document: document.update(name="other")),
        {"model-metadata"},
    ),
    "open sizes as 0.5": (
        health.topic,
        about("/digits", lambda document: document["inputs"][0].update(shape=[0.5, 8, 8, 1])),
        {"metadata-tensors"},
    ),
    "NumPy datatype": (
        health.topic,
        about("/digits", lambda document: document["inputs"][0].update(datatype="uint8")),
        {"metadata-tensors"},
    ),
    "unknown version in metadata": (
        health.topic,
        about("/digits", lambda document: document.update(versions=["1", "2"])),
        {"metadata-versions"},
    ),
    "id missing": (
        inference.topic,
        about("/infer", lambda document: document.pop("id", None) and None),
        {"id-echoed", "id-escaped"},
    ),
    "answer of another model": (
        inference.topic,
        about("/infer", lambda document: document.update(model_name="other")),
        {"model-name"},
    ),
    "version as number": (
        inference.topic,
        about("/infer", lambda document: document.update(model_version=1)),
        {"model-version"},
    ),
    "inference as text": (inference.topic, header("content-type", "text/plain"), {"infer-media-type"}),
    "output of another datatype": (inference.topic, output(datatype="FP64"), {"outputs-as-declared"}),
    "404 with detail": (
        refusals.topic,
        instead(404, 404, b'{"detail": "Not Found"}'),
        {"unknown-model-metadata", "unknown-version-metadata", "unknown-model-infer", "unknown-version-infer"}
        | {"unknown-path-error"},
    ),
    "400 for 404": (
        refusals.topic,
        instead(404, 400),
        {"unknown-model-404", "unknown-version-404", "unknown-path-404"},
    ),
    "unknown models are ready": (
        refusals.topic,
        instead(404, 200, b'{"ready": true}', end="/ready"),
        {"unknown-model-ready", "unknown-model-404", "path-traversal"},
    ),
    "errors as text": (refusals.topic, header("content-type", "text/plain", only=404), {"error-media-type"}),
    "500 for malformed requests": (malformed.topic, instead(400, 500), {"malformed-4xx"}),
    "traceback in error": (
        malformed.topic,
        instead(400, 400, b'{"error": "Traceback (most recent call last)"}'),
        {"error-text"},
    ),
    "200 for malformed requests": (
        malformed.topic,
        instead(400, 200, b"{}"),
        {case.id for case in malformed.topic.cases} - {"malformed-4xx", "error-text"},
    ),
    "binary answer without JSON length": (
        binary.topic,
        header("inference-header-content-length", None),
        {case.id for case in binary.topic.cases}
        - {"binary-media-type", "binary-input", "binary-output-overridden"}
        - {"binary-length-of-all"},
    ),
    "binary answer as JSON": (binary.topic, header("content-type", "application/json"), {"binary-media-type"}),
    "200 for malformed binary requests": (
        malformed_binary.topic,
        instead(400, 200),
        {case.id for case in malformed_binary.topic.cases} - {"malformed-binary-4xx"},
    ),
    "500 for malformed binary requests": (malformed_binary.topic, instead(400, 500), {"malformed-binary-4xx"}),
    "raw requests refused": (raw.topic, instead(200, 400, b'{"error": "no"}'), {"raw", "raw-outputs"}),
    "raw requests of any size": (raw.topic, instead(400, 200), {"raw-size"}),
    "classes in reverse order": (classification.topic, about("/infer", reversed_classes), {"classes-order"}),
    "logits for classes": (
        classification.topic,
        about("/infer", lambda document: document["outputs"][0].update(datatype="FP32", data=[1.0] * 10)),
        {case.id for case in classification.topic.cases} - {"classes-malformed"},
    ),
    "identity marked as gzip": (
        compression.topic,
        claims_gzip,
        {"identity-response"},
    ),
    "200 for invalid compression": (
        compression.topic,
        lambda proxied: instead(400, 200)(proxied) or instead(415, 200)(proxied),
        {"gzip-garbage", "gzip-cut", "unknown-coding"},
    ),
    "constant statistics": (
        statistics.topic,
        about("/stats", lambda document: document["model_stats"][0].update(inference_count=3)),
        {"stats-count"},
    ),
    "durations without count": (
        statistics.topic,
        about("/stats", lambda document: document["model_stats"][0]["inference_stats"].update(queue={"ns": 3})),
        {"stats-durations"},
    ),
    "statistics of another model": (
        statistics.topic,
        about("/stats", lambda document: document["model_stats"][0].update(name="other")),
        {"stats", "stats-version", "stats-all", "stats-durations", "stats-count"},
    ),
    "configuration without inputs": (
        statistics.configuration,
        about("/config", lambda document: document.pop("input") and None),
        {"config-batch"},
    ),
    "index without the model": (
        repository.topic,
        about("/index", lambda _: [{"name": "other", "state": "UNAVAILABLE"}]),
        {"index", "index-ready", "index-empty-body"},
    ),
    "unknown model loaded": (repository.topic, instead(403, 200, b""), {"load-unknown"}),
    "timeouts refused": (repository.scheduling, instead(200, 400, b'{"error": "no"}'), {"timeout"}),
    "405 without Allow": (http.topic, header("allow", None), {"infer-get", "metadata-delete"}),
}


@pytest.mark.parametrize("name", LIES)
def test_lie_fails_its_cases_and_no_others(subject: Subject, port: int, name: str):
    topic, lie, expected = LIES[name]
    with lying(port, lie) as proxy:
        client = Client(parse_url(f"http://127.0.0.1:{proxy}"), timeout_s=5)
        report = run(replace(subject, client=client), topics=(topic,))
    assert {each.id for each in report.failed(*LEVELS)} == expected
    assert all(each.expected and each.found for each in report.results)


def test_fails_server_that_accepts_any_bytes(subject: Subject):
    with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" * 2) as port:
        client = Client(parse_url(f"http://127.0.0.1:{port}"), timeout_s=5)
        report = run(replace(subject, client=client), topics=(malformed_http.topic,))
    assert {each.id for each in report.failed(*LEVELS)} == {case.id for case in malformed_http.topic.cases}
