"""Malformed requests with raw tensors: wrong lengths and sizes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from oip_conformance.answer import Answer
from oip_conformance.case import Ask, Level, Topic
from oip_conformance.cases.binary import NAME
from oip_conformance.expecting import never_5xx, refused, refused_somehow
from oip_conformance.sources import BINARY, HTTP
from oip_conformance.subject import Subject

topic = Topic("Malformed binary tensors", NAME)

_LENGTH = (
    f'{BINARY}: "the Inference-Header-Content-Length header must be provided to give the length of the JSON object"'
)
_SIZE = f'{BINARY}: ""binary_data_size" : int64 parameter indicating the size of the tensor binary data, in bytes."'
_NATIVE = f'{BINARY}: "All tensor data types are representable as binary data in the native size of the data type."'
_UNSAFE = "Safe behaviour: a contradictory request is refused"


@dataclass(frozen=True)
class _Malformed:
    id: str
    title: str
    source: str
    send: Callable[[Subject], Answer]
    level: Level = "extension"


def _said(length: str) -> Callable[[Subject], Answer]:
    """Send a valid request with another length of its JSON."""
    return lambda subject: subject.post_binary(subject.binary_document(), length=length)


def _beyond(subject: Subject) -> Answer:
    content = json.dumps(subject.binary_document()).encode()
    return subject.post_binary(content, length=str(len(content) + len(subject.raw()) + 1))


def _short(subject: Subject) -> Answer:
    content = json.dumps(subject.binary_document()).encode()
    return subject.post_binary(content, length=str(len(content) - 5))


def _sized(subject: Subject, size: Any, **changes: Any) -> dict[str, Any]:
    """Return the JSON of a raw request whose first input declares another size."""
    document = subject.binary_document()
    document["inputs"][0] |= {"parameters": {"binary_data_size": size}} | changes
    return document


def _size(subject: Subject) -> int:
    size: int = subject.binary_document()["inputs"][0]["parameters"]["binary_data_size"]
    return size


def _short_tensor(subject: Subject) -> Answer:
    return subject.post_binary(_sized(subject, _size(subject) - 1), subject.raw()[1:])


def _both(subject: Subject) -> Answer:
    data = subject.document()["inputs"][0]["data"]
    return subject.post_binary(_sized(subject, _size(subject), data=data))


_ALL: Sequence[_Malformed] = (
    _Malformed("length-beyond", "A length of the JSON beyond the body is refused", _LENGTH, _beyond),
    _Malformed("length-short", "A length that ends within the JSON is refused", _LENGTH, _short),
    _Malformed("length-negative", "A negative length is refused", _LENGTH, _said("-5")),
    _Malformed("length-text", "A length that is not a number is refused", _LENGTH, _said("abc")),
    _Malformed(
        "length-overflow", "A length beyond 64 bits is refused", f"{_LENGTH} (CWE-190)", _said(str((1 << 64) + 9))
    ),
    _Malformed(
        "body-short",
        "A body that ends within a tensor is refused",
        _SIZE,
        lambda s: s.post_binary(s.binary_document(), s.raw()[:-1]),
    ),
    _Malformed("size-short", "A size below what shape and datatype need is refused", _NATIVE, _short_tensor),
    _Malformed(
        "size-beyond",
        "A size beyond the body is refused",
        _SIZE,
        lambda s: s.post_binary(_sized(s, _size(s) + (1 << 40))),
    ),
    _Malformed("size-negative", "A negative size is refused", _SIZE, lambda s: s.post_binary(_sized(s, -_size(s)))),
    _Malformed("size-text", "A size that is not a number is refused", _SIZE, lambda s: s.post_binary(_sized(s, "x"))),
    _Malformed(
        "size-missing",
        "A raw input without size is refused",
        _SIZE,
        lambda s: s.post_binary(_sized(s, 1, parameters={})),
    ),
    _Malformed(
        "body-long",
        "Bytes behind the last tensor are refused",
        _UNSAFE,
        lambda s: s.post_binary(s.binary_document(), s.raw() + b"\0"),
        "expected",
    ),
    _Malformed("data-and-size", "An input with both data and binary_data_size is refused", _UNSAFE, _both, "expected"),
)


def _refusal_of(request: _Malformed) -> Ask:
    check = refused if request.level == "extension" else refused_somehow
    return lambda subject: check(request.send(subject))


for _each in _ALL:
    topic.case(_each.id, _each.title, _each.source, level=_each.level)(_refusal_of(_each))


@topic.expected(
    "malformed-binary-4xx",
    "None of these requests is answered 5xx",
    f'{HTTP} section 15.5: "The 4xx (Client Error) class of status code indicates that the client seems to have '
    'erred."',
)
def malformed_binary_4xx(subject: Subject) -> None:
    never_5xx({each.id: partial(each.send, subject) for each in _ALL})
