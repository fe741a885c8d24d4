"""Reads the data of a request's inputs: raw for all inputs, or in each input, in the field of its datatype."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgecnn.protocol import header, tensors
from edgecnn.protocol.datatypes import BINARY_ONLY
from edgecnn.protocol.matching import Reader
from edgecnn.protocol.tensors import Tensor
from edgecnn.protocol.wording import invalid

FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Field of InferTensorContents for each datatype; FP16 and BF16 have none."""


def reader_of_raw(body: bytes, parts: Sequence[tuple[int, int]]) -> Reader:
    """Return a reader of raw data; `parts` has the offset and size in bytes of each input, in order."""
    left = iter(parts)

    def read(name: str, given: Mapping[str, Any], datatype: str, shape: tuple[int, ...]) -> Tensor:
        header.parameters_of(given, "input")
        start, size = next(left)
        if given["contents"]:
            raise invalid(f"input '{name}': expected raw_input_contents or contents, found both")
        return tensors.from_raw(name, datatype, shape, body=body, start=start, size=size)

    return read


def read_typed(name: str, given: Mapping[str, Any], datatype: str, shape: tuple[int, ...]) -> Tensor:
    """Read data from the contents of an input."""
    header.parameters_of(given, "input")
    if datatype in BINARY_ONLY:
        raise invalid(f"input '{name}': {datatype} needs raw_input_contents")
    found = {descriptor.name: values for descriptor, values in given["contents"]}
    if not found:
        raise invalid(f"input '{name}': expected raw_input_contents or contents, found neither")
    field = FIELDS[datatype]
    if list(found) != [field]:
        raise invalid(f"input '{name}': expected {field} for {datatype}, found {', '.join(found)}")
    return tensors.from_values(name, datatype, shape, list(found[field]))
