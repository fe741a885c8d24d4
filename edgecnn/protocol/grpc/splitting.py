"""Split an inference request into its description, which protobuf parses, and its raw tensors, which stay in place.

Protobuf would copy the tensors twice. It also needs far more memory for some messages than their size: an empty input
has two bytes. Therefore the fields are counted before parsing.
"""

from edgecnn.bundle.wire_format import LENGTH, WireFormatError, read_fields
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import invalid

MAX_FIELDS = 1000
"""Limit on the inputs, outputs, parameters and raw tensors of a request together."""

MAX_DESCRIPTION_BYTES = 16 << 20
"""Limit on everything but the raw tensors, as for JSON. Parsing takes about ten times as much memory."""

_RAW_CONTENTS = 7
"""Number of the field `ModelInferRequest.raw_input_contents`."""


def split(body: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a request without its raw tensors, and the offset and size in bytes of each raw tensor.

    Raises:
        Refusal: it is not a protobuf message ("invalid"), or its description is too large ("too_large").
    """
    described: list[bytes] = []
    raw: list[tuple[int, int]] = []
    start = kept = 0
    try:
        for count, (number, wire, value, end) in enumerate(read_fields(body), 1):
            if count > MAX_FIELDS:
                raise invalid(f"expected at most {MAX_FIELDS} inputs, outputs, parameters and raw tensors, found more")
            if number == _RAW_CONTENTS and wire == LENGTH:
                described.append(body[kept:start])
                raw.append((value, end - value))
                kept = end
            start = end
    except WireFormatError as error:
        raise invalid(str(error)) from None
    described.append(body[kept:])
    check_description(sum(map(len, described)), MAX_DESCRIPTION_BYTES)
    return b"".join(described), raw


def check_description(size: int, limit: int) -> None:
    """Check the size of a request without its raw tensors; raises `Refusal` if it is above the limit."""
    if size > limit:
        message = f"expected at most {limit} bytes besides raw tensors, found {size}"
        raise Refusal("too_large", f"{message}; send tensors in raw_input_contents")
