"""The data of a request's inputs: raw for all of them, or within each, in the field that its datatype has."""

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
"""Where the elements of a datatype stand in an InferTensorContents; FP16 and BF16 have no field."""


def reader_of_raw(body: bytes, parts: Sequence[tuple[int, int]]) -> Reader:
    """Return a reader of raw data in the message: offset and size in bytes for each input, in their order."""
    left = iter(parts)

    def read(name: str, given: Mapping[str, Any], datatype: str, shape: tuple[int, ...]) -> Tensor:
        header.parameters_of(given, "input")
        start, size = next(left)
        if given["contents"]:
            raise invalid(f"input '{name}': expected raw_input_contents or contents, found both")
        return tensors.from_raw(name, datatype, shape, body=body, start=start, size=size)

    return read


def read_typed(name: str, given: Mapping[str, Any], datatype: str, shape: tuple[int, ...]) -> Tensor:
    """Read data within the inputs."""
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
