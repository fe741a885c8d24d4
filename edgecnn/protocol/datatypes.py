"""The protocol's datatypes, and the specification of a model's tensor.

Open Inference Protocol v2, "Tensor Data Types"; raw tensors are little-endian and row-major.
"""

from dataclasses import dataclass

import numpy as np

DTYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""NumPy type of each datatype. BYTES is a tuple instead of an array; NumPy has no BF16."""

KNOWN = frozenset({*DTYPES, "BYTES", "BF16"})
"""All datatypes of the protocol; any other name is an error."""

BINARY_ONLY = frozenset({"FP16", "BF16"})
"""Datatypes without a JSON form in the protocol."""

NAMES = {dtype: name for name, dtype in DTYPES.items()}
"""Datatype of each NumPy type."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, datatype and shape of a tensor.

    Attributes:
        name: as in requests.
        datatype: BYTES or one of `DTYPES`.
        shape: -1 for any size; axis 0 is the batch.

    Raises:
        ValueError: the datatype is not supported, or the shape is empty.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.datatype != "BYTES" and self.datatype not in DTYPES:
            raise ValueError(f"expected BYTES or one of {', '.join(DTYPES)}, found {self.datatype}")
        if not self.shape:
            raise ValueError(f"{self.name} needs a shape with an axis for the batch, found no axis")

    def __str__(self) -> str:
        return f"{self.datatype} [{','.join(map(str, self.shape))}]"
