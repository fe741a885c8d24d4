"""HTTP as clients of the protocol use it: methods, persistent connections, chunks, concurrent requests."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from oip_conformance.answer import Answer
from oip_conformance.case import Topic
from oip_conformance.deviation import Deviation
from oip_conformance.expecting import refused_somehow, refused_with, succeeded
from oip_conformance.sources import HTTP, MESSAGES, PERF_ANALYZER, TRITONCLIENT
from oip_conformance.subject import Subject

topic = Topic("HTTP")

_AT_ONCE = 8
_ALLOW = (
    f'{HTTP} section 15.5.6: "The origin server MUST generate an Allow header field in a 405 response containing a '
    "list of the target resource's currently supported methods.\""
)
_KEPT: Mapping[str, str | None] = {"Connection": "keep-alive"}


@topic.expected("infer-get", "GET on /infer answers 405 with Allow", _ALLOW)
def infer_get(subject: Subject) -> str:
    return _not_allowed(subject.get(f"{subject.path}/infer"), "POST")


@topic.expected("metadata-delete", "DELETE on metadata answers 405 with Allow", _ALLOW)
def metadata_delete(subject: Subject) -> str:
    return _not_allowed(subject.client.ask("DELETE", subject.path), "GET")


@topic.expected(
    "head",
    "HEAD answers as GET does, without a body",
    f'{HTTP} section 9.1: "All general-purpose servers MUST support the methods GET and HEAD."',
)
def head(subject: Subject) -> None:
    with subject.client.conversation() as conversation:
        conversation.send(subject.client.written("HEAD", "/v2/health/live"))
        answer = conversation.receive("HEAD")
        rest = conversation.rest()
    succeeded(answer)
    if rest:
        raise Deviation("no body", f"{len(rest)} bytes")


@topic.expected(
    "keep-alive",
    "A connection serves several requests",
    f"{TRITONCLIENT}: a pool of connections that stay open",
)
def keep_alive(subject: Subject) -> None:
    with subject.client.conversation() as conversation:
        for _ in range(3):
            conversation.send(_written(subject, _body(subject), _KEPT))
            subject.same(conversation.receive("POST"))


@topic.expected(
    "keep-alive-after-error",
    "After an error the connection is closed or serves the next request",
    f"{MESSAGES} section 9.3: a server that does not read a body to its end must close the connection, or the rest of "
    "it is taken for the next request",
)
def keep_alive_after_error(subject: Subject) -> str:
    with subject.client.conversation() as conversation:
        conversation.send(_written(subject, b'{"inputs": ' + b" " * 4096 + b"}", _KEPT))
        first = conversation.receive("POST")
        refused_somehow(first)
        if first.headers.get("connection", "").lower() == "close":
            return "closed, as it says"
        conversation.send(_written(subject, _body(subject), _KEPT))
        subject.same(conversation.receive("POST"))
    return "serves the next"


@topic.expected(
    "pipelined",
    "Pipelined requests are answered in order",
    f'{MESSAGES} section 9.3.2: "it MUST send the corresponding responses in the same order that the requests were '
    'received"',
)
def pipelined(subject: Subject) -> None:
    requests = [_written(subject, _body(subject, id_=f"{number}"), _KEPT) for number in range(3)]
    with subject.client.conversation() as conversation:
        conversation.send(b"".join(requests))
        ids = [subject.same(conversation.receive("POST")).document.get("id") for _ in requests]
    if ids != ["0", "1", "2"]:
        raise Deviation("the ids 0, 1, 2", f"{ids!r:.60}")


@topic.expected(
    "chunked",
    "A body may be chunked",
    f'{MESSAGES} section 7.1: "A recipient MUST be able to parse and decode the chunked transfer coding."',
)
def chunked(subject: Subject) -> None:
    body = _body(subject)
    parts = [body[at : at + 100] for at in range(0, len(body), 100)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    headers: Mapping[str, str | None] = {"Transfer-Encoding": "chunked", "Content-Length": None}
    with subject.client.conversation() as conversation:
        conversation.send(_written(subject, b"", headers) + chunks)
        subject.same(conversation.receive("POST"))


@topic.expected(
    "expect-continue",
    "Expect: 100-continue is answered with 100 Continue",
    f'{HTTP} section 10.1.1: "A 100-continue expectation informs recipients that the client is about to send '
    '(presumably large) content"; curl asks so above 1 MiB',
)
def expect_continue(subject: Subject) -> None:
    body = _body(subject)
    headers: Mapping[str, str | None] = {"Expect": "100-continue", "Content-Length": str(len(body))}
    with subject.client.conversation() as conversation:
        conversation.send(_written(subject, b"", headers))
        if not conversation.is_told_to_continue():
            raise Deviation("100 Continue before the body is sent", "none")
        conversation.send(body)
        subject.same(conversation.receive("POST"))


@topic.expected(
    "path-escaped",
    "A path may be percent-encoded",
    f'{HTTP} section 4.2.3: "Characters other than those in the "reserved" set are equivalent to their percent-encoded '
    'octets"',
)
def path_escaped(subject: Subject) -> None:
    name = "".join(f"%{byte:02X}" for byte in subject.model.encode(errors="replace"))
    succeeded(subject.get(f"/v2/models/{name}/ready"))


@topic.expected(
    "at-once",
    "Concurrent clients get the same answer",
    f"{PERF_ANALYZER} --concurrency-range: as many concurrent requests",
)
def at_once(subject: Subject) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = [pool.submit(subject.good) for _ in range(4 * _AT_ONCE)]
        for each in asked:
            subject.same(each.result())


def _body(subject: Subject, id_: str = "1") -> bytes:
    return json.dumps(subject.document(id=id_)).encode()


def _written(subject: Subject, body: bytes, headers: Mapping[str, str | None]) -> bytes:
    fields = {"Content-Type": "application/json", **headers}
    return subject.client.written("POST", f"{subject.path}/infer", body, fields)


def _not_allowed(answer: Answer, method: str) -> str:
    refused_with(answer, 405)
    allowed = answer.headers.get("allow", "")
    if method not in [each.strip() for each in allowed.split(",")]:
        raise Deviation(f"Allow: {method}", f"{allowed!r:.60}" if allowed else "no Allow")
    return f"status 405, Allow: {allowed[:60]}"
