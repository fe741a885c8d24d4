"""Malformed HTTP: ambiguous framing and other bytes. The server answers 4xx or closes the connection."""

from collections.abc import Mapping

from oip_conformance.answer import NoAnswer
from oip_conformance.case import Topic
from oip_conformance.deviation import Deviation
from oip_conformance.sources import MESSAGES
from oip_conformance.subject import Subject

topic = Topic("Malformed HTTP")

_REFUSAL = "an error of the client, 4xx, or a closed connection"
_FRAMING = (
    f'{MESSAGES} section 6.3: "If a message is received without Transfer-Encoding and with an invalid Content-Length '
    'header field, then the message framing is invalid and the recipient MUST treat it as an unrecoverable error"'
)


@topic.expected(
    "no-host",
    "A request without Host is answered 400",
    f'{MESSAGES} section 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request '
    'message that lacks a Host header field"',
)
def no_host(subject: Subject) -> str:
    answer = subject.get("/v2/health/live", {"Host": None})
    if answer.status != 400:
        raise Deviation("status 400", answer.found)
    return answer.found


@topic.expected("content-length-twice", "Two lengths that differ are refused", _FRAMING)
def content_length_twice(subject: Subject) -> str:
    body = b'{"inputs": []}'
    request = subject.client.written("POST", f"{subject.path}/infer", body)
    return _refused(subject, request.replace(b"Content-Length:", b"Content-Length: 3\r\nContent-Length:"))


@topic.expected("content-length-malformed", "A length that is not a number is refused", _FRAMING)
def content_length_malformed(subject: Subject) -> str:
    return _refused(subject, _post(subject, {"Content-Length": "0x0e"}))


@topic.expected(
    "length-and-chunks",
    "A request with both a length and chunks is refused, or the connection is closed",
    f'{MESSAGES} section 6.3: "Such a message might indicate an attempt to perform request smuggling (Section 11.2) or '
    'response splitting (Section 11.1) and ought to be handled as an error."',
)
def length_and_chunks(subject: Subject) -> str:
    smuggled = b"0\r\n\r\n" + subject.client.written("GET", "/v2/health/live")
    headers = {"Content-Length": str(len(smuggled)), "Transfer-Encoding": "chunked", "Connection": "keep-alive"}
    with subject.client.conversation() as conversation:
        conversation.send(subject.client.written("POST", f"{subject.path}/infer", None, headers) + smuggled)
        try:
            conversation.receive("POST")
            second = conversation.receive("GET")
        except NoAnswer:
            return "no answer to the request behind it"
    raise Deviation("no answer to the request behind it", f"a second one, {second.found}")


@topic.expected(
    "no-http",
    "Bytes that are not HTTP are answered 400, or the connection is closed",
    f'{MESSAGES} section 2.2: "the server SHOULD respond with a 400 (Bad Request) response and close the connection"',
)
def no_http(subject: Subject) -> str:
    return _refused(subject, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no HTTP at all\r\n\r\n")


@topic.expected(
    "header-huge",
    "A header of a megabyte is refused, or the connection is closed",
    "RFC 6585 section 5: 431 Request Header Fields Too Large; a client must not exhaust memory",
)
def header_huge(subject: Subject) -> str:
    return _refused(subject, subject.client.written("GET", "/v2/health/live", None, {"X-Long": "a" * (1 << 20)}))


@topic.expected(
    "cut-off",
    "A client that disconnects during its request does not affect others",
    "Safe behaviour: phones, load balancers and Ctrl-C break connections",
)
def cut_off(subject: Subject) -> None:
    request = _post(subject, {"Content-Length": "100000"})
    for _ in range(8):
        with subject.client.conversation() as conversation:
            conversation.send(request)
    subject.same(subject.good())


def _post(subject: Subject, headers: Mapping[str, str | None]) -> bytes:
    return subject.client.written("POST", f"{subject.path}/infer", b'{"inputs": []}', headers)


def _refused(subject: Subject, request: bytes) -> str:
    """Check that the server answers 4xx or closes the connection in time.

    Raises:
        Deviation: it answers another status.
        NoAnswer: it does neither in time.
    """
    with subject.client.conversation() as conversation:
        conversation.send(request)
        try:
            answer = conversation.receive("POST")
        except NoAnswer as error:
            if "closed" not in str(error):
                raise
            return str(error)
    if not 400 <= answer.status < 500:
        raise Deviation(_REFUSAL, answer.found)
    return answer.found
