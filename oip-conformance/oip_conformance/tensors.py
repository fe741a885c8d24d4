"""Tensors of requests and answers, in JSON and raw.

Requests contain zeros and ones in the smallest shapes that the model declares.
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
    "BF16": "<u2",  # its bits, because NumPy has no BF16
}
"""The datatypes of the protocol and Triton's BF16, as NumPy's."""

WITHOUT_JSON = ("FP16", "BF16")
_BF16_ONE = 0x3F80
_ELEMENT = b"a"
_RELATIVE = 1e-4


@dataclass(frozen=True)
class TensorSpec:
    """An input or output in the metadata of a model; -1 in the shape is a variable size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def sized(self, batch: int = 1) -> tuple[int, ...]:
        """Return the shape with `batch` for a variable first size and 1 for other variable sizes."""
        sizes = [1 if size < 0 else size for size in self.shape]
        if self.shape and self.shape[0] < 0:
            sizes[0] = batch
        return tuple(sizes)

    def sample(self, batch: int = 1) -> np.ndarray:
        """Return zeros with a one at every third place, the same for each item of a batch."""
        shape = self.sized(batch)
        each = math.prod(shape) // batch
        if self.datatype == "BYTES":
            return np.full(shape, _ELEMENT, object)
        ones = np.tile(np.arange(each) % 3 == 0, batch).reshape(shape)
        array: np.ndarray = (ones * (_BF16_ONE if self.datatype == "BF16" else 1)).astype(DTYPES[self.datatype])
        return array


def to_json(array: np.ndarray) -> list[Any]:
    """Return the elements as a flat list for JSON."""
    return [each.decode() if isinstance(each, bytes) else each for each in array.ravel().tolist()]


def to_raw(array: np.ndarray) -> bytes:
    """Return the elements as bytes of the binary tensor data extension."""
    if array.dtype == object:
        return b"".join(struct.pack("<I", len(each)) + each for each in array.ravel())
    return array.tobytes()


def from_json(datatype: str, shape: tuple[int, ...], data: Any, *, name: str) -> np.ndarray:
    """Parse the data of an output, nested or flat.

    Raises:
        Deviation: they do not fit the datatype and the shape.
    """
    flat = _flat(data)
    if len(flat) != math.prod(shape):
        raise Deviation(f"{math.prod(shape)} elements in output {name!r}, as its shape declares", f"{len(flat)}")
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
    """Parse the bytes of an output.

    Raises:
        Deviation: they do not fit the datatype and the shape.
    """
    if datatype == "BYTES":
        return _elements(raw, shape, name=name)
    size = math.prod(shape) * np.dtype(DTYPES[datatype]).itemsize
    if len(raw) != size:
        raise Deviation(f"{size} bytes of output {name!r}, as its shape and datatype declare", f"{len(raw)}")
    return np.frombuffer(raw, DTYPES[datatype]).reshape(shape)


def are_equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two tensors are equal, within the precision of floats in text."""
    if one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return bool((one == other).all())
    scale = float(np.abs(other[np.isfinite(other)]).max(initial=0.0))
    return np.allclose(one, other, rtol=_RELATIVE, atol=_RELATIVE * scale, equal_nan=True)


def _flat(data: Any) -> list[Any]:
    """Flatten nested lists without recursion, because a server may nest them to any depth."""
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
            f"{len(raw)} bytes in another form",
        )
    array = np.empty(len(found), object)
    array[:] = found
    return array.reshape(shape)
