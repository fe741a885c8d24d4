"""Tensors for requests, made from what a model says of its inputs, and tensors of answers, in JSON and raw.

They are small and plain (zeros and ones), so that any model with shapes like those it declares can take them.
"""

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from oip_conformance.deviation import Deviation

DTYPES = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": "O",
    "BF16": "<u2",  # as its bits: NumPy has no such numbers
}
"""Those of the protocol's table, and Triton's BF16."""

WITHOUT_JSON = ("FP16", "BF16")
_BF16_ONE = 0x3F80
_ELEMENT = b"a"
_RELATIVE = 1e-4


@dataclass(frozen=True)
class TensorSpec:
    """What a model's metadata says of an input or output; -1 in the shape is a size that varies."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def sized(self, batch: int = 1) -> tuple[int, ...]:
        """Return a shape with no size open: the first is `batch`, the others 1."""
        sizes = [1 if size < 0 else size for size in self.shape]
        if self.shape and self.shape[0] < 0:
            sizes[0] = batch
        return tuple(sizes)

    def sample(self, batch: int = 1) -> np.ndarray:
        """Return zeros, and a one at every third place; the second of a batch is as the first."""
        shape = self.sized(batch)
        each = math.prod(shape) // batch
        if self.datatype == "BYTES":
            return np.full(shape, _ELEMENT, object)
        ones = np.tile(np.arange(each) % 3 == 0, batch).reshape(shape)
        array: np.ndarray = (ones * (_BF16_ONE if self.datatype == "BF16" else 1)).astype(DTYPES[self.datatype])
        return array


def to_json(array: np.ndarray) -> list[Any]:
    """Return elements, flat, as they stand in JSON."""
    return [each.decode() if isinstance(each, bytes) else each for each in array.ravel().tolist()]


def to_raw(array: np.ndarray) -> bytes:
    """Return elements as the binary tensor data extension has them."""
    if array.dtype == object:
        return b"".join(struct.pack("<I", len(each)) + each for each in array.ravel())
    return array.tobytes()


def from_json(datatype: str, shape: tuple[int, ...], data: Any, *, name: str) -> np.ndarray:
    """Read an output's data, nested or flat.

    Raises:
        Deviation: they do not fit datatype and shape.
    """
    flat = _flat(data)
    if len(flat) != math.prod(shape):
        raise Deviation(f"{math.prod(shape)} elements in output {name!r}, as its shape says", f"{len(flat)}")
    wanted = str if datatype == "BYTES" else (bool, int, float)
    if not all(isinstance(each, wanted) for each in flat):
        raise Deviation(f"{datatype} elements in output {name!r}", "others")
    if datatype == "BYTES":
        return np.array([each.encode(errors="surrogatepass") for each in flat], object).reshape(shape)
    try:
        with np.errstate(all="ignore"):
            return np.array(flat).astype(DTYPES[datatype]).reshape(shape)
    except (ValueError, TypeError, OverflowError):
        raise Deviation(f"{datatype} elements in output {name!r}", "numbers beyond that") from None


def from_raw(datatype: str, shape: tuple[int, ...], raw: bytes, *, name: str) -> np.ndarray:
    """Read an output's bytes.

    Raises:
        Deviation: they do not fit datatype and shape.
    """
    if datatype == "BYTES":
        return _elements(raw, shape, name=name)
    size = math.prod(shape) * np.dtype(DTYPES[datatype]).itemsize
    if len(raw) != size:
        raise Deviation(f"{size} bytes of output {name!r}, as its shape and datatype say", f"{len(raw)}")
    return np.frombuffer(raw, DTYPES[datatype]).reshape(shape)


def are_equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two answers are the same, to within what floats lose on the way through text."""
    if one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return bool((one == other).all())
    scale = float(np.abs(other[np.isfinite(other)]).max(initial=0.0))
    return np.allclose(one, other, rtol=_RELATIVE, atol=_RELATIVE * scale, equal_nan=True)


def _flat(data: Any) -> list[Any]:
    """Flatten lists within lists, without recursion: a server may nest them as it likes."""
    flat: list[Any] = []
    waiting = [data]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(reversed(each))
        else:
            flat.append(each)
    return flat


def _elements(raw: bytes, shape: tuple[int, ...], *, name: str) -> np.ndarray:
    found: list[bytes] = []
    at = 0
    while at + 4 <= len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        found.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    if at != len(raw) or len(found) != math.prod(shape):
        raise Deviation(
            f"{math.prod(shape)} elements in output {name!r}, each 4 bytes of length and as many bytes",
            f"{len(raw)} bytes that are not that",
        )
    array = np.empty(len(found), object)
    array[:] = found
    return array.reshape(shape)
