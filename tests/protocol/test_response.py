"""Responses in JSON, raw and as protobuf messages: numbers and classes."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferResult, service_pb2

from edgecnn.protocol.classification import classify
from edgecnn.protocol.datatypes import DTYPES
from edgecnn.protocol.grpc import messages
from edgecnn.protocol.grpc import response as grpc
from edgecnn.protocol.matching import RequestedOutput
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.request import InferRequest
from edgecnn.protocol.response import encode
from edgecnn.server.models.statistics import Statistics

LOGITS = np.array([[0.1, 2.5, -1, 2.5]], np.float32)
LABELS = ("cat", "dog", "é:\n")


def answer(
    *wanted: RequestedOutput, request_id: str | None = None, **outputs: np.ndarray
) -> tuple[dict[str, Any], bytes, int | None]:
    request = InferRequest(request_id, {}, wanted, None)
    body, length = encode(request, outputs, model_name="lenet", model_version="1", labels=LABELS)
    cut = len(body) if length is None else length
    return json.loads(body[:cut], parse_constant=pytest.fail), body[cut:], length


def test_sends_flat_json():
    found, rest, length = answer(RequestedOutput("logits", False), logits=LOGITS)
    assert found == {
        "model_name": "lenet",
        "model_version": "1",
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [1, 4], "data": [0.1, 2.5, -1, 2.5]}],
    }
    assert (rest, length) == (b"", None)


def raw_answer(
    protocol: str, output: np.ndarray, *, classes: int = 0, request_id: str | None = None
) -> tuple[str, list[int], bytes, str]:
    """Return datatype, shape and bytes of a raw output, and the id of the response."""
    wanted = RequestedOutput("y", True, classes=classes)
    if protocol == "http":
        found, rest, length = answer(wanted, request_id=request_id, y=output)
        assert length is not None
        (entry,) = found["outputs"]
        assert entry == {
            "name": "y", "datatype": entry["datatype"], "shape": entry["shape"],
            "parameters": {"binary_data_size": len(rest)},
        }  # fmt: skip
        return entry["datatype"], entry["shape"], rest, found.get("id", "")
    request = InferRequest(request_id, {}, (wanted,), None)
    content = grpc.encode(request, {"y": output}, model_name="lenet", model_version="1", labels=LABELS)
    message = service_pb2.ModelInferResponse.FromString(content)
    (given,), (raw,) = message.outputs, message.raw_output_contents
    assert (message.model_name, message.model_version, given.name) == ("lenet", "1", "y")
    assert not given.HasField("contents")
    if not classes:
        assert np.array_equal(InferResult(message).as_numpy("y"), output, equal_nan=output.dtype.kind == "f")
    return given.datatype, list(given.shape), raw, message.id


PROTOCOLS = pytest.mark.parametrize("protocol", ["http", "grpc"])


@PROTOCOLS
def test_sends_any_numbers_raw(protocol: str):
    output = np.array([[0.5, np.nan, -np.inf], [1.0, 0.0, -0.0]], np.float32)
    assert raw_answer(protocol, output, request_id="é\n7") == ("FP32", [2, 3], output.tobytes(), "é\n7")


@PROTOCOLS
@pytest.mark.parametrize("datatype", sorted(DTYPES))
def test_sends_little_endian_in_row_major_order(protocol: str, datatype: str):
    output = np.arange(6).astype(DTYPES[datatype].newbyteorder("=")).reshape(3, 2).T
    expected = (datatype, [2, 3], output.astype(DTYPES[datatype]).tobytes(), "")
    assert raw_answer(protocol, output) == expected


@PROTOCOLS
def test_sends_classes_each_after_its_length(protocol: str):
    first, second = b"2.500000:1:dog", "1.000000:2:é:\n".encode()
    raw = struct.pack("<I", len(first)) + first + struct.pack("<I", len(second)) + second
    assert raw_answer(protocol, np.vstack([LOGITS, -LOGITS]), classes=1) == ("BYTES", [2, 1], raw, "")


@PROTOCOLS
@pytest.mark.parametrize("classes", [4, 99, 2**63])
def test_sends_no_more_classes_than_there_are(protocol: str, classes: int):
    assert raw_answer(protocol, LOGITS, classes=classes)[:2] == ("BYTES", [1, 4])


def test_sends_outputs_in_the_requested_order():
    wanted = [RequestedOutput("b", True), RequestedOutput("c", False), RequestedOutput("a", True)]
    a, b, c = np.array([1], "<i8"), np.array([[2, 3]], "<f2"), np.array([True])
    found, rest, _ = answer(*wanted, a=a, b=b, c=c)
    assert [(each["name"], each["datatype"]) for each in found["outputs"]] == [
        ("b", "FP16"),
        ("c", "BOOL"),
        ("a", "INT64"),
    ]
    assert found["outputs"][1]["data"] == [True]
    assert rest == b.tobytes() + a.tobytes()


@pytest.mark.parametrize("output", [LOGITS.T, LOGITS[:, ::2], LOGITS.astype(">f4")])
@pytest.mark.parametrize("binary", [True, False])
def test_sends_arrays_of_any_memory_layout(output: np.ndarray, binary: bool):
    if output.dtype != np.float32:
        with pytest.raises(KeyError):
            answer(RequestedOutput("y", binary), y=output)
        return
    found, rest, _ = answer(RequestedOutput("y", binary), y=output)
    data = np.frombuffer(rest, "<f4") if binary else np.array(found["outputs"][0]["data"], np.float32)
    assert np.array_equal(data.reshape(output.shape), output)


@pytest.mark.parametrize("request_id", ["7", "", 'a\r\n"b', "é"])
def test_returns_the_id(request_id: str):
    assert answer(RequestedOutput("y", False), request_id=request_id, y=LOGITS)[0]["id"] == request_id
    assert "id" not in answer(RequestedOutput("y", False), y=LOGITS)[0]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_rejects_nan_and_infinity_in_json(number: float):
    output = np.array([[1, number]], np.float32)
    with pytest.raises(Refusal, match="NaN or infinity, which JSON cannot represent: request binary data") as caught:
        answer(RequestedOutput("y", False), y=output)
    assert caught.value.reason == "invalid"
    assert answer(RequestedOutput("y", True), y=output)[1] == output.tobytes()
    assert len(answer(RequestedOutput("y", False, classes=2), y=output)[0]["outputs"][0]["data"]) == 2


def test_rejects_fp16_in_json():
    with pytest.raises(Refusal, match="FP16 needs binary data"):
        answer(RequestedOutput("y", False), y=LOGITS.astype(np.float16))


def test_sorts_classes_by_value_and_index():
    best = ["2.500000:1:dog", "2.500000:3", "0.100000:0:cat"]
    assert classify(LOGITS, classes=3, labels=LABELS) == [best]
    found, _, length = answer(RequestedOutput("logits", False, classes=3), logits=LOGITS)
    assert found["outputs"] == [{"name": "logits", "datatype": "BYTES", "shape": [1, 3], "data": best}]
    assert length is None


def test_sorts_integers_and_nan():
    assert classify(np.array([[0, 255, 3]], np.uint8), classes=2, labels=()) == [["255.000000:1", "3.000000:2"]]
    assert classify(np.array([[-128, 0]], np.int8), classes=1, labels=()) == [["0.000000:1"]]
    odd = np.array([[np.nan, -np.inf, np.inf]])
    assert classify(odd, classes=3, labels=()) == [["inf:2", "-inf:1", "nan:0"]]


def test_sends_statistics_over_grpc_as_over_http():
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
