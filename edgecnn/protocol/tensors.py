"""Converts the data of a tensor, raw or JSON, to an array. The shape must match the model already.

The amount of data is compared with the shape first, so that a large shape allocates nothing.
"""

import math
from itertools import chain
from typing import Any

import numpy as np

from edgecnn.protocol import bytes_tensors
from edgecnn.protocol.datatypes import BINARY_ONLY, DTYPES
from edgecnn.protocol.wording import found, invalid

Tensor = np.ndarray | tuple[bytes, ...]
"""Numbers, or the elements of a BYTES tensor in row-major order."""

_NUMBERS = {int, float}


def from_raw(name: str, datatype: str, shape: tuple[int, ...], *, body: bytes, start: int, size: int) -> Tensor:
    """Return `size` bytes of the body from `start` as a read-only tensor, without a copy if they are aligned.

    The sizes in the shape are positive and may be arbitrarily large.

    Raises:
        Refusal: the data do not match datatype and shape.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return bytes_tensors.decode(name, body, start=start, size=size, count=count)
    dtype = DTYPES[datatype]
    if size != count * dtype.itemsize:
        raise invalid(f"input '{name}': expected {count * dtype.itemsize} bytes for its shape, found {size}")
    if datatype == "BOOL":
        flags = np.frombuffer(body, np.uint8, count, start)
        # NumPy's behaviour is undefined for other values of a bool.
        if flags.max() > 1:
            raise invalid(f"input '{name}': expected bytes of 0 or 1 for BOOL, found {flags.max()}")
        return flags.view(np.bool_).reshape(shape)
    array = np.frombuffer(body, dtype, count, start)
    if not array.flags.aligned:
        array = array.copy()
    return array.reshape(shape)


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Tensor:
    """Read a tensor from JSON data, flat or nested; raises as `from_raw`."""
    if datatype in BINARY_ONLY:
        raise invalid(f"input '{name}': {datatype} needs binary data")
    if type(data) is not list:
        raise invalid(f"input '{name}': expected a list as data, found {found(data)}")
    values = _flat(name, data, shape)
    if datatype == "BYTES":
        return bytes_tensors.from_strings(name, values)
    return _array(name, datatype, shape, values)


def from_values(name: str, datatype: str, shape: tuple[int, ...], values: list[Any]) -> Tensor:
    """Return a tensor of elements that protobuf has parsed, row-major: of the right type, but possibly out of range.

    Floating-point numbers may be infinite or NaN, as in raw data. Raises as `from_raw`.
    """
    _check_count(name, values, shape)
    if datatype == "BYTES":
        return tuple(values)
    if datatype in {"FP32", "FP64"}:
        return np.array(values, DTYPES[datatype]).reshape(shape)
    return _array(name, datatype, shape, values)


def _array(name: str, datatype: str, shape: tuple[int, ...], values: list[Any]) -> np.ndarray:
    """Return an array of numbers or booleans from JSON."""
    types = set(map(type, values))
    if datatype == "BOOL":
        return _flags(name, values, types).reshape(shape)
    # In Python, True is an int; in JSON, true is not a number.
    allowed = _NUMBERS if datatype in {"FP32", "FP64"} else {int}
    if not types <= allowed:
        odd = next(value for value in values if type(value) not in allowed)
        raise invalid(f"input '{name}': expected {_wanted(datatype)} as data, found {found(odd)}")
    return _numbers(name, datatype, values).reshape(shape)


def _flat(name: str, data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return the elements row-major; nested lists must match the shape exactly."""
    if not data or type(data[0]) is not list or len(shape) == 1:
        _check_count(name, data, shape)
        return data
    if len(data) != shape[0]:
        raise invalid(f"input '{name}': expected {shape[0]} lists along axis 0, found {len(data)}")
    for axis, size in enumerate(shape[1:], start=1):
        if set(map(type, data)) != {list}:
            odd = next(each for each in data if type(each) is not list)
            raise invalid(f"input '{name}': expected lists along axis {axis}, found {found(odd)}")
        if set(map(len, data)) != {size}:
            odd = next(each for each in data if len(each) != size)
            raise invalid(f"input '{name}': expected {size} elements along axis {axis}, found {len(odd)}")
        data = list(chain.from_iterable(data))
    return data


def _check_count(name: str, values: list[Any], shape: tuple[int, ...]) -> None:
    count = math.prod(shape)
    if len(values) != count:
        raise invalid(f"input '{name}': expected {count} elements for its shape, found {len(values)}")


def _numbers(name: str, datatype: str, values: list[Any]) -> np.ndarray:
    """Return a flat array of numbers; raises `Refusal` for one that is out of range."""
    dtype = DTYPES[datatype]
    try:
        if datatype == "UINT8":
            return np.frombuffer(bytes(values), np.uint8)  # twice as fast as NumPy
        if dtype.kind == "f":
            wide = np.array(values, np.float64)
            with np.errstate(over="ignore"):
                array = wide.astype(dtype, copy=False)
            if np.isfinite(array).all():
                return array
            raise invalid(
                f"input '{name}': {found(values[int(np.isinf(array).argmax())])} is out of range for {datatype}"
            )
        return np.array(values, dtype)
    except (ValueError, OverflowError):
        limits = np.iinfo(dtype.name)
        odd = next(value for value in values if not limits.min <= value <= limits.max)
        raise invalid(f"input '{name}': {odd} is out of range for {datatype}") from None


def _flags(name: str, values: list[Any], types: set[type]) -> np.ndarray:
    if not types <= {bool, int} or not set(values) <= {0, 1}:
        odd = next(value for value in values if type(value) not in {bool, int} or value not in {0, 1})
        raise invalid(f"input '{name}': expected true, false, 0 or 1 as data, found {found(odd)}")
    return np.array(values, np.bool_)


def _wanted(datatype: str) -> str:
    return "numbers" if datatype in {"FP32", "FP64"} else "integers of at most 64 bits"
