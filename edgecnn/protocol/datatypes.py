"""The protocol's datatypes, and what a tensor of a model may look like.

Open Inference Protocol v2, "Tensor Data Types"; tensors travel little-endian and row-major.
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
"""How NumPy holds them. BYTES are no array but a tuple; BF16 has no type in NumPy."""

KNOWN = frozenset({*DTYPES, "BYTES", "BF16"})
"""Every name that the protocol has: a client that sends another has misspelt one."""

BINARY_ONLY = frozenset({"FP16", "BF16"})
"""JSON has no form for them, says the protocol."""

NAMES = {dtype: name for name, dtype in DTYPES.items()}
"""The protocol's name of a NumPy type."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a tensor may look like.

    Attributes:
        name: what requests call it.
        datatype: BYTES or one of `DTYPES`.
        shape: -1 where any size will do; axis 0 is the batch.

    Raises:
        ValueError: no tensor of this kind can be held here.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.datatype != "BYTES" and self.datatype not in DTYPES:
            raise ValueError(f"expected BYTES or one of {', '.join(DTYPES)}, found {self.datatype}")
        if not self.shape:
            raise ValueError(f"{self.name} has no axis for the batch")

    def __str__(self) -> str:
        return f"{self.datatype} [{','.join(map(str, self.shape))}]"
