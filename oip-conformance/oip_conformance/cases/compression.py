"""Requests and answers that are compressed with gzip or deflate, as tritonclient uses them."""

import dataclasses
import gzip
import json
import zlib

from oip_conformance.answer import Answer
from oip_conformance.case import Topic
from oip_conformance.cases.binary import NAME
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.expecting import refused_somehow
from oip_conformance.inferred import LENGTH
from oip_conformance.sources import HTTP, TRITONCLIENT
from oip_conformance.subject import Subject

topic = Topic("Compression")

_MOST_BYTES = 64 << 20
_REQUEST = f"{TRITONCLIENT}.infer(request_compression_algorithm=…): Content-Encoding gzip, or deflate in zlib's form"
_RESPONSE = f"{TRITONCLIENT}.infer(response_compression_algorithm=…): Accept-Encoding"


@topic.expected("gzip-request", "A request may be compressed with gzip", _REQUEST)
def gzip_request(subject: Subject) -> None:
    subject.same(_post(subject, gzip.compress(_body(subject)), "gzip"))


@topic.expected("deflate-request", "A request may be compressed with deflate", _REQUEST)
def deflate_request(subject: Subject) -> None:
    subject.same(_post(subject, zlib.compress(_body(subject)), "deflate"))


@topic.expected(
    "gzip-binary-request",
    "The JSON length of a compressed request counts uncompressed bytes",
    f"{TRITONCLIENT}: sets {LENGTH} to the JSON's length, then compresses all of the body",
)
def gzip_binary_request(subject: Subject) -> None:
    _needs_binary(subject)
    header = json.dumps(subject.binary_document()).encode()
    headers = {"Content-Encoding": "gzip", LENGTH: str(len(header)), "Content-Type": "application/octet-stream"}
    subject.same(subject.post(gzip.compress(header + subject.raw()), headers))


@topic.expected("gzip-response", "An answer may be compressed with gzip if the client accepts it", _RESPONSE)
def gzip_response(subject: Subject) -> str:
    return _answers_coded(subject, "gzip")


@topic.expected("deflate-response", "An answer may be compressed with deflate if the client accepts it", _RESPONSE)
def deflate_response(subject: Subject) -> str:
    return _answers_coded(subject, "deflate")


@topic.expected(
    "gzip-binary-response",
    "The JSON length of a compressed answer counts uncompressed bytes",
    f"{TRITONCLIENT} InferResult: decompresses the body, then splits it at {LENGTH}",
)
def gzip_binary_response(subject: Subject) -> str:
    _needs_binary(subject)
    answer = subject.post_binary(subject.binary_document(), headers={"Accept-Encoding": "gzip"})
    subject.same(_decoded(answer))
    return _coding(answer) or "not compressed"


@topic.expected(
    "identity-response",
    "An answer is not compressed if the client does not accept compression",
    f'{HTTP} section 12.5.3: "If no Accept-Encoding header field is in the request, any content coding is considered '
    'acceptable by the user agent." Yet no client of the protocol decodes a coding that it did not request',
)
def identity_response(subject: Subject) -> None:
    for headers in ({}, {"Accept-Encoding": "identity"}, {"Accept-Encoding": "gzip;q=0, deflate;q=0"}):
        answer = subject.post(subject.document(), headers)
        if _coding(answer):
            raise Deviation(
                f"no Content-Encoding where the request has {headers or 'no Accept-Encoding'}", _coding(answer)
            )
        subject.same(answer)


@topic.expected("gzip-garbage", "A body that is not what Content-Encoding says is refused", "Safe behaviour")
def gzip_garbage(subject: Subject) -> str:
    return refused_somehow(_post(subject, _body(subject), "gzip"))


@topic.expected("gzip-cut", "A compressed body that ends early is refused", "Safe behaviour")
def gzip_cut(subject: Subject) -> str:
    return refused_somehow(_post(subject, gzip.compress(_body(subject))[:-9], "gzip"))


@topic.expected(
    "unknown-coding",
    "An unknown content coding is refused with 4xx",
    f'{HTTP} section 8.4: "An origin server MAY respond with a status code of 415 (Unsupported Media Type) if a '
    'representation in the request message has a content coding that is not acceptable."',
)
def unknown_coding(subject: Subject) -> str:
    answer = _post(subject, _body(subject), "x-no-such-coding")
    if not 400 <= answer.status < 500:
        raise Deviation("an error of the client, 4xx", answer.found)
    return answer.found


def _body(subject: Subject) -> bytes:
    return json.dumps(subject.document()).encode()


def _post(subject: Subject, body: bytes, coding: str) -> Answer:
    return subject.post(body, {"Content-Encoding": coding})


def _needs_binary(subject: Subject) -> None:
    if NAME not in subject.extensions:
        raise NotApplicable(f"the server does not list {NAME}")


def _answers_coded(subject: Subject, coding: str) -> str:
    answer = subject.post(subject.document(), {"Accept-Encoding": coding})
    if _coding(answer) not in ("", coding):
        raise Deviation(f"Content-Encoding: {coding}, or none", _coding(answer))
    subject.same(_decoded(answer))
    return _coding(answer) or "not compressed, as a server may choose"


def _coding(answer: Answer) -> str:
    coding = answer.headers.get("content-encoding", "").strip().lower()
    return "" if coding == "identity" else coding[:40]


def _decoded(answer: Answer) -> Answer:
    """Return the answer with a decompressed body.

    Raises:
        Deviation: the body is not what Content-Encoding says, or too large.
    """
    coding = _coding(answer)
    if not coding:
        return answer
    if coding not in ("gzip", "deflate"):
        raise Deviation("gzip or deflate", coding)
    inflater = zlib.decompressobj(wbits=31 if coding == "gzip" else 15)
    try:
        body = inflater.decompress(answer.body, _MOST_BYTES)
    except zlib.error:
        raise Deviation(f"a body in {coding}, as Content-Encoding says", answer.found) from None
    if not inflater.eof:
        raise Deviation(f"a whole body in {coding}", "one that ends early or is too large")
    return dataclasses.replace(answer, body=body)
