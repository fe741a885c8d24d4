"""Answers as protobuf messages: what HTTP answers in binary, and the plain documents."""

from typing import Any

import numpy as np
import pytest
from grpc_messages import ask, infer, put
from tritonclient.grpc import InferResult, service_pb2

from edgecnn.protocol import response
from edgecnn.protocol.datatypes import DTYPES
from edgecnn.protocol.grpc import messages
from edgecnn.protocol.grpc.response import encode
from edgecnn.server.models.statistics import Statistics

LOGITS = np.array([[0.5, 2.0, -1.0, 0.25], [1.0, 0.0, np.inf, -0.0]], np.float32)
LABELS = ["é", "b:c", "d", "e"]


def answered(message: Any, logits: np.ndarray = LOGITS) -> Any:
    """The answer as a client reads it."""
    content = encode(ask(message), {"logits": logits}, model_name="m", model_version="1", labels=LABELS)
    return service_pb2.ModelInferResponse.FromString(content)


def test_numbers_travel_raw_whatever_they_are():
    answer = answered(infer(id="é\n7"))
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "1", "é\n7")
    (output,) = answer.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("logits", "FP32", [2, 4])
    assert not output.HasField("contents")
    assert list(answer.raw_output_contents) == [LOGITS.tobytes()]
    assert np.array_equal(InferResult(answer).as_numpy("logits"), LOGITS)


@pytest.mark.parametrize("datatype", sorted(DTYPES))
def test_every_datatype_travels_little_endian_and_row_major(datatype: str):
    numbers = np.arange(6).astype(DTYPES[datatype].newbyteorder("=")).reshape(3, 2).T
    answer = answered(infer(), numbers)
    assert answer.outputs[0].datatype == datatype
    assert np.array_equal(InferResult(answer).as_numpy("logits"), numbers)


@pytest.mark.parametrize("classes", [1, 3, 99])
def test_classes_are_those_of_http(classes: int):
    message = infer(outputs=[{"name": "logits"}])
    put(message.outputs[0].parameters["classification"], classes)
    request = ask(message)
    answer = answered(message)
    body, length = response.encode(request, {"logits": LOGITS}, model_name="m", model_version="1", labels=LABELS)
    assert length is not None
    assert answer.raw_output_contents[0] == body[length:]
    assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == ("BYTES", [2, min(classes, 4)])
    assert InferResult(answer).as_numpy("logits")[0, 0] == b"2.000000:1:b:c"


def test_the_numbers_are_the_raw_ones_of_http():
    request = ask(infer())
    body, length = response.encode(request, {"logits": LOGITS}, model_name="m", model_version="1", labels=LABELS)
    assert length is not None
    assert answered(infer()).raw_output_contents[0] == body[length:]


def test_statistics_are_those_of_http():
    statistics = Statistics()
    statistics.ran(2, 0.25)
    statistics.succeeded(2, preprocess_s=0.5, queued_s=0.25, inference_s=0.25)
    plain = statistics.plain("m", "1")
    content = messages.answer("ModelStatistics", {"model_stats": [plain]})
    (found,) = service_pb2.ModelStatisticsResponse.FromString(content).model_stats
    assert (found.name, found.version, found.inference_count, found.execution_count) == ("m", "1", 2, 1)
    assert found.last_inference == plain["last_inference"]
    assert (found.inference_stats.success.count, found.inference_stats.success.ns) == (1, 10**9)
    assert [(batch.batch_size, batch.compute_infer.ns) for batch in found.batch_stats] == [(2, 250_000_000)]
