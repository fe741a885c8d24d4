"""Encodes a ModelInferResponse. Tensors are always raw: clients support no other form."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgecnn.protocol import bytes_tensors
from edgecnn.protocol.classification import classify
from edgecnn.protocol.datatypes import DTYPES, NAMES
from edgecnn.protocol.grpc.messages import ANSWERS
from edgecnn.protocol.request import InferRequest


def encode(
    request: InferRequest,
    outputs: Mapping[str, np.ndarray],
    *,
    model_name: str,
    model_version: str,
    labels: Sequence[str],
    ranking: np.ndarray | None = None,
) -> bytes:
    """Write the response to a request.

    Args:
        request: the request.
        outputs: at least the requested ones, [N, ...] each, of a type in `NAMES`.
        model_name: the model that computed them.
        model_version: its version.
        labels: class names, for classification.
        ranking: orders the classes, see `classify`.
    """
    answer = ANSWERS["ModelInfer"](model_name=model_name, model_version=model_version, id=request.id or "")
    for wanted in request.outputs:
        output = outputs[wanted.name]
        if wanted.classes:
            best = classify(output, classes=wanted.classes, labels=labels, ranking=ranking)
            datatype, shape = "BYTES", (len(best), len(best[0]))
            raw = bytes_tensors.encode(entry.encode() for row in best for entry in row)
        else:
            datatype, shape = NAMES[output.dtype], output.shape
            raw = output.astype(DTYPES[datatype], copy=False).tobytes()  # row-major
        answer.outputs.add(name=wanted.name, datatype=datatype, shape=shape)
        answer.raw_output_contents.append(raw)
    content: bytes = answer.SerializeToString()
    return content
