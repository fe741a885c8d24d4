"""Requests in JSON with one defect each, and the source that forbids it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from oip_conformance.case import Level
from oip_conformance.deviation import NotApplicable
from oip_conformance.sources import FAILED, JSON, REST, YAML
from oip_conformance.subject import Subject


@dataclass(frozen=True)
class Malformed:
    """A request that a server must refuse. `write` returns its document or its bytes."""

    id: str
    title: str
    source: str
    write: Callable[[Subject], Any]
    level: Level = "required"


_DEPTH = 100_000
_INPUT = f"{YAML}, request_input, required: name, shape, datatype, data"
_BODY = f'{REST}, Inference Request JSON Object: "required in the HTTP body of the POST request"'
_FULL = f'{REST}, Request Input: "the shape and data must represent the full shape and contents of the entire batch"'
_SIZES = (
    f'{REST}, Request Input: "Each dimension must be an integer representable as an unsigned 64-bit integer value."'
)
_ELEMENTS = (
    f'{REST}, Tensor Data: "Each element of the array may be an integer, floating-point number, string or boolean '
    'value."'
)
_COERCE = (
    f'{REST}, Tensor Data: "The server can decide to coerce each element to the required type or return an error if an '
    'unexpected value is received."'
)
_UNSAFE = "Safe behaviour: a contradictory request is refused"


def _first(subject: Subject, key: str) -> Any:
    return subject.document()["inputs"][0][key]


def _with_element(subject: Subject, element: Any) -> Any:
    """Replace the first element of the first input."""
    data = _first(subject, "data")
    if not data:
        raise NotApplicable("the first input has no elements")
    return subject.changed(data=[element, *data[1:]])


def _numeric(subject: Subject) -> str:
    """Return the datatype of the first input.

    Raises:
        NotApplicable: the input does not contain numbers.
    """
    datatype = subject.inputs[0].datatype
    if datatype in ("BOOL", "BYTES"):
        raise NotApplicable("the first input does not contain numbers")
    return datatype


def _wrong_datatype(subject: Subject) -> Any:
    return subject.changed(datatype="FP64" if _numeric(subject) != "FP64" else "INT32")


def _text_as_number(subject: Subject) -> Any:
    _numeric(subject)
    return _with_element(subject, "three")


def _literal(subject: Subject, literal: str) -> bytes:
    _numeric(subject)
    return json.dumps(_with_element(subject, "@")).replace('"@"', literal).encode()


def _out_of_range(subject: Subject) -> Any:
    datatype = _numeric(subject)
    if datatype.startswith("FP"):
        raise NotApplicable("the first input contains floats")
    return _with_element(subject, 1 << 64)


def _negative_unsigned(subject: Subject) -> Any:
    if not _numeric(subject).startswith("UINT"):
        raise NotApplicable("the first input is not unsigned")
    return _with_element(subject, -1)


def _fraction(subject: Subject) -> Any:
    if _numeric(subject).startswith("FP"):
        raise NotApplicable("the first input contains floats")
    return _with_element(subject, 0.5)


def _wrong_size(subject: Subject) -> Any:
    """Return a request that is one larger along a fixed axis."""
    spec = subject.inputs[0]
    axes = [axis for axis, size in enumerate(spec.shape) if size > 0]
    if not axes:
        raise NotApplicable("all sizes of the first input are variable")
    shape = list(spec.sized())
    count = len(_first(subject, "data"))
    more = count // shape[axes[-1]]
    shape[axes[-1]] += 1
    return subject.changed(shape=shape, data=(_first(subject, "data") * 2)[: count + more])


def _ragged(subject: Subject) -> Any:
    data = _first(subject, "data")
    if len(data) < 4:
        raise NotApplicable("the first input has too few elements")
    return subject.changed(data=[data[:1], data[1:]])


def _twice(subject: Subject, key: str) -> Any:
    names = subject.document()["inputs"] if key == "inputs" else [{"name": subject.outputs[0].name}]
    return subject.document() | {key: [*names, names[0]]}


MALFORMED: tuple[Malformed, ...] = (
    Malformed("body-empty", "An empty body is refused", _BODY, lambda _: b""),
    Malformed("body-no-json", "A body that is not JSON is refused", _BODY, lambda _: b"hello"),
    Malformed("body-cut", "A body that ends early is refused", _BODY, lambda s: json.dumps(s.document()).encode()[:-2]),
    Malformed("body-no-object", "A body that is not an object is refused", _BODY, lambda s: [s.document()]),
    Malformed(
        "inputs-missing",
        "A request without inputs is refused",
        f"{YAML}, inference_request, required: inputs",
        lambda _: {"id": "1"},
    ),
    Malformed("inputs-empty", "An empty list of inputs is refused", FAILED, lambda s: s.document(inputs=[])),
    Malformed(
        "inputs-null", "inputs: null is refused", f"{YAML}, inputs: type: array", lambda s: s.document(inputs=None)
    ),
    Malformed("name-missing", "An input without name is refused", _INPUT, lambda s: s.changed(name=...)),
    Malformed("shape-missing", "An input without shape is refused", _INPUT, lambda s: s.changed(shape=...)),
    Malformed("datatype-missing", "An input without datatype is refused", _INPUT, lambda s: s.changed(datatype=...)),
    Malformed("data-missing", "An input without data is refused", _INPUT, lambda s: s.changed(data=...)),
    Malformed(
        "data-null", "data: null is refused", f"{YAML}, tensor_data: type: array", lambda s: s.changed(data=None)
    ),
    Malformed(
        "input-unknown", "An input that the model does not have is refused", FAILED, lambda s: s.changed(name="q9")
    ),
    Malformed(
        "output-unknown",
        "An output that the model does not have is refused",
        FAILED,
        lambda s: s.document(outputs=[{"name": "q9"}]),
    ),
    Malformed(
        "datatype-unknown",
        "A datatype that the protocol does not have is refused",
        f'{REST}, Request Input: "The data-type of the input tensor elements as defined in Tensor Data Types."',
        lambda s: s.changed(datatype="FLOAT"),
    ),
    Malformed(
        "data-short",
        "Fewer elements than the shape declares are refused",
        _FULL,
        lambda s: s.changed(data=_first(s, "data")[1:]),
    ),
    Malformed(
        "data-long",
        "More elements than the shape declares are refused",
        _FULL,
        lambda s: s.changed(data=[*_first(s, "data"), _first(s, "data")[0]]),
    ),
    Malformed(
        "shape-rank",
        "A shape of another rank is refused",
        FAILED,
        lambda s: s.changed(shape=[1, *_first(s, "shape"), 1]),
    ),
    Malformed("shape-size", "A size that the model does not accept is refused", FAILED, _wrong_size),
    Malformed(
        "shape-negative",
        "A negative size is refused",
        _SIZES,
        lambda s: s.changed(shape=[-1] * len(_first(s, "shape"))),
    ),
    Malformed(
        "shape-fraction",
        "A size that is not an integer is refused",
        _SIZES,
        lambda s: s.changed(shape=[0.5] * len(_first(s, "shape"))),
    ),
    Malformed("shape-text", "A shape that is not a list is refused", _SIZES, lambda s: s.changed(shape="1")),
    Malformed("element-null", "null among the elements is refused", _ELEMENTS, lambda s: _with_element(s, None)),
    Malformed("element-object", "An object among the elements is refused", _ELEMENTS, lambda s: _with_element(s, {})),
    Malformed("element-text", "Text among numbers is refused", _COERCE, _text_as_number),
    Malformed("datatype-other", "Another datatype than the model's is refused", _UNSAFE, _wrong_datatype, "expected"),
    Malformed("data-ragged", "Rows of unequal length are refused", _UNSAFE, _ragged, "expected"),
    Malformed(
        "element-fraction", "A fraction for an integer is refused", f"{_COERCE} {_UNSAFE}", _fraction, "expected"
    ),
    Malformed(
        "element-range", "A number beyond the datatype is refused", f"{_COERCE} {_UNSAFE}", _out_of_range, "expected"
    ),
    Malformed(
        "element-negative",
        "A negative number for an unsigned one is refused",
        f"{_COERCE} {_UNSAFE}",
        _negative_unsigned,
        "expected",
    ),
    Malformed(
        "element-nan",
        "The literal NaN is refused",
        f'{JSON} section 6: "Numeric values that cannot be represented in the grammar below (such as Infinity and NaN) '
        'are not permitted."',
        lambda s: _literal(s, "NaN"),
        "expected",
    ),
    Malformed(
        "element-infinite",
        "A number that overflows a float is refused",
        _UNSAFE,
        lambda s: _literal(s, "1e400"),
        "expected",
    ),
    Malformed("input-twice", "A duplicate input is refused", _UNSAFE, lambda s: _twice(s, "inputs"), "expected"),
    Malformed("output-twice", "A duplicate output is refused", _UNSAFE, lambda s: _twice(s, "outputs"), "expected"),
    Malformed(
        "id-number",
        "An id that is not a string is refused",
        f"{YAML}, id: type: string",
        lambda s: s.document(id=7),
        "expected",
    ),
    Malformed(
        "parameters-number",
        "Parameters that are not an object are refused",
        f"{YAML}, parameters: type: object",
        lambda s: s.document(parameters=5),
        "expected",
    ),
    Malformed(
        "body-no-utf8",
        "Text that is not UTF-8 is refused",
        f'{JSON} section 8.1: "JSON text exchanged between systems that are not part of a closed ecosystem MUST be '
        'encoded using UTF-8"',
        lambda s: json.dumps(s.document(id="@")).encode().replace(b'"@"', b'"\xff"'),
        "expected",
    ),
)
"""Requests in the order in which the suite sends them."""

HAZARDS: tuple[Malformed, ...] = (
    Malformed(
        "shape-huge",
        "A shape far beyond the data is refused",
        _FULL,
        lambda s: s.changed(shape=[1 << 40, *_first(s, "shape")[1:]]),
    ),
    Malformed(
        "shape-overflow",
        "A shape whose elements overflow 64 bits to the right count is refused",
        f"{_FULL}; size and count agree only modulo 2^64 (CWE-190)",
        lambda s: s.changed(shape=[(1 << 64) + 1, *_first(s, "shape")[1:]]),
    ),
    Malformed(
        "body-deep",
        "Lists within lists, a hundred thousand deep, are refused",
        f'{JSON} section 9: "An implementation may set limits on the maximum depth of nesting."',
        lambda _: b'{"inputs": ' + b"[" * _DEPTH,
        "expected",
    ),
)
"""Requests that have crashed servers, because they need more memory or stack than there is."""
