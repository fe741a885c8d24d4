"""Parses answers to inference requests and checks every part against the protocol."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from oip_conformance import tensors
from oip_conformance.answer import Answer, strict_json
from oip_conformance.deviation import Deviation

LENGTH = "Inference-Header-Content-Length"

_LONGEST_SHAPE, _MOST_ELEMENTS = 32, 1 << 40


@dataclass(frozen=True)
class Output:
    """One output of an answer.

    Attributes:
        datatype: its name in the protocol.
        values: in its shape.
        is_binary: whether it is raw, behind the JSON.
    """

    datatype: str
    values: np.ndarray
    is_binary: bool


@dataclass(frozen=True)
class Inferred:
    """A successful inference.

    Attributes:
        document: the JSON of the answer.
        outputs: by name, in the order of the answer.
    """

    document: Mapping[str, Any]
    outputs: dict[str, Output]


def inferred(answer: Answer) -> Inferred:
    """Parse an answer to an inference request.

    Raises:
        Deviation: the status is not 200, or the answer does not follow the protocol.
    """
    if answer.status != 200:
        raise Deviation("status 200", answer.found)
    header, raw = _split(answer)
    document = json_object(header)
    listed = document.get("outputs")
    if not isinstance(listed, list) or not listed:
        raise Deviation("a list of outputs", f"{listed!r:.60}")
    if not isinstance(document.get("model_name"), str):
        raise Deviation("model_name, a string", f"{document.get('model_name')!r:.60}")
    outputs: dict[str, Output] = {}
    for each in listed:
        name, output, used = _output(each, raw)
        if name in outputs:
            raise Deviation("each output once", f"{name!r} twice")
        outputs[name] = output
        raw = raw[used:]
    if raw:
        raise Deviation("no bytes behind the last binary output", f"{len(raw)} bytes more")
    return Inferred(document, outputs)


def json_object(content: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        Deviation: the content is not a valid one.
    """
    document = strict_json(content)
    if not isinstance(document, dict):
        raise Deviation("a JSON object", f"{document!r:.60}")
    return document


def _split(answer: Answer) -> tuple[bytes, bytes]:
    """Return the JSON of an answer and the bytes behind it."""
    length = answer.headers.get(LENGTH.lower())
    if length is None:
        return answer.body, b""
    if not (length.isascii() and length.isdecimal()) or int(length[:18]) > len(answer.body):
        raise Deviation(f"{LENGTH}: the length of the JSON, of a body of {len(answer.body)} bytes", repr(length[:40]))
    return answer.body[: int(length)], answer.body[int(length) :]


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Return the value as a tuple if it is a valid shape, else None."""
    if not isinstance(value, list) or len(value) > _LONGEST_SHAPE:
        return None
    if not all(type(size) is int and 0 <= size <= _MOST_ELEMENTS for size in value):
        return None
    return tuple(value) if math.prod(value) <= _MOST_ELEMENTS else None


def _output(entry: Any, raw: bytes) -> tuple[str, Output, int]:
    """Parse an entry of `outputs`; return its name, the output, and the number of its raw bytes."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise Deviation("outputs that are objects with a name", f"{entry!r:.60}")
    name, datatype, shape = entry["name"], entry.get("datatype"), entry.get("shape")
    if datatype not in tensors.DTYPES:
        raise Deviation(f"a datatype of the protocol's table for output {name!r}", f"{datatype!r:.40}")
    sizes = shape_of(shape)
    if sizes is None:
        raise Deviation(f"a shape of non-negative integers for output {name!r}", f"{shape!r:.60}")
    parameters = entry.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        return name, Output(datatype, tensors.from_json(datatype, sizes, entry.get("data"), name=name), False), 0
    if "data" in entry:
        raise Deviation(f"data or binary_data_size for output {name!r}", "both")
    if type(size) is not int or not 0 <= size <= len(raw):
        raise Deviation(f"binary_data_size within the {len(raw)} bytes that are left", f"{size!r:.40}")
    return name, Output(datatype, tensors.from_raw(datatype, sizes, raw[:size], name=name), True), size
