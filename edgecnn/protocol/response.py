"""Encodes an inference response: JSON, then the tensors that the client requests as binary data.

Open Inference Protocol v2, inference response, with Triton's binary tensor data extension. JSON cannot represent NaN
and infinity. They are an error that suggests binary data, since a client could take null for a result.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from edgecnn.protocol import bytes_tensors
from edgecnn.protocol.classification import classify
from edgecnn.protocol.datatypes import BINARY_ONLY, DTYPES, NAMES
from edgecnn.protocol.request import InferRequest
from edgecnn.protocol.wording import invalid


def encode(
    request: InferRequest,
    outputs: Mapping[str, np.ndarray],
    *,
    model_name: str,
    model_version: str,
    labels: Sequence[str],
    ranking: np.ndarray | None = None,
) -> tuple[bytes, int | None]:
    """Write the response to a request.

    Args:
        request: the request.
        outputs: at least the requested ones, [N, ...] each, of a type in `NAMES`.
        model_name: the model that computed them.
        model_version: its version.
        labels: class names, for classification.
        ranking: orders the classes, see `classify`.

    Returns:
        The body, and the length of its JSON, for `Inference-Header-Content-Length`; None if the body is only JSON.

    Raises:
        Refusal: an output has values or a datatype that JSON cannot represent.
    """
    described: list[dict[str, Any]] = []
    parts: list[Any] = [b""]
    for wanted in request.outputs:
        output = outputs[wanted.name]
        part: bytes | np.ndarray | None
        if wanted.classes:
            best = classify(output, classes=wanted.classes, labels=labels, ranking=ranking)
            entry, part = _classes(best, wanted.binary)
        else:
            entry, part = _numbers(wanted.name, output, wanted.binary)
        described.append({"name": wanted.name, **entry})
        if part is not None:
            parts.append(part)
    answer: dict[str, Any] = {"model_name": model_name, "model_version": model_version, "outputs": described}
    if request.id is not None:
        answer["id"] = request.id
    text = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    if len(parts) == 1:
        return text, None
    parts[0] = text
    return b"".join(parts), len(text)


def _numbers(name: str, output: np.ndarray, binary: bool) -> tuple[dict[str, Any], np.ndarray | None]:
    """Return the entry of a tensor, with its data or with the raw data separately."""
    datatype = NAMES[output.dtype]
    entry: dict[str, Any] = {"datatype": datatype, "shape": output.shape}
    if binary:
        entry["parameters"] = {"binary_data_size": output.nbytes}
        return entry, np.ascontiguousarray(output, DTYPES[datatype])
    if datatype in BINARY_ONLY:
        raise invalid(f"output '{name}': {datatype} needs binary data")
    if output.dtype.kind == "f" and not np.isfinite(output).all():
        raise invalid(f"output '{name}' contains NaN or infinity, which JSON cannot represent: request binary data")
    entry["data"] = output.ravel()
    return entry, None


def _classes(best: list[list[str]], binary: bool) -> tuple[dict[str, Any], bytes | None]:
    """Return the entry of the best classes, [N, k], with its data or with the raw data separately."""
    entries = [entry for row in best for entry in row]
    entry: dict[str, Any] = {"datatype": "BYTES", "shape": (len(best), len(best[0]))}
    if not binary:
        return {**entry, "data": entries}, None
    raw = bytes_tensors.encode(each.encode() for each in entries)
    return {**entry, "parameters": {"binary_data_size": len(raw)}}, raw
