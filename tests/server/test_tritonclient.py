"""NVIDIA's unmodified HTTP and gRPC clients: every call, and what they read from the responses."""

import io
import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from server_process import TIMEOUT_S, Server
from triton_client import Triton, error_of, files

LEAST = np.zeros((1, 32, 32, 1), np.uint8)


@pytest.fixture(params=["http", "grpc"])
def triton(request: pytest.FixtureRequest, server: Server) -> Iterator[Triton]:
    """Yield a client while other clients send good requests."""
    triton = Triton(request.param, server)
    with triton.client, server.good_neighbour():
        yield triton


@pytest.fixture
def http(server: Server) -> Iterator[Triton]:
    """Yield an HTTP client."""
    triton = Triton("http", server)
    with triton.client, server.good_neighbour():
        yield triton


def test_reads_liveness_and_readiness(triton: Triton):
    client, name = triton.client, triton.server.name
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(name)
    assert client.is_model_ready(name, "1")
    assert not client.is_model_ready("nope")
    assert not client.is_model_ready(name, "2")


def test_reads_metadata(triton: Triton):
    assert triton.plain("get_server_metadata") == triton.server.get("/v2").json
    model = triton.plain("get_model_metadata", triton.server.name, "1")
    assert model["versions"] == ["1"]
    tensors = model["inputs"] + model["outputs"]
    assert [(each["name"], each["datatype"], [int(size) for size in each["shape"]]) for each in tensors] == [
        ("image", "UINT8", [-1, 32, 32, 1]),
        ("logits", "FP32", [-1, 10]),
    ]


def test_reads_the_configuration(triton: Triton):
    config = triton.plain("get_model_config", triton.server.name)
    config = config if triton.is_http else config["config"]
    assert config["max_batch_size"] == 32
    (given,) = config["input"]
    assert (given["name"], given["data_type"]) == ("image", "TYPE_UINT8")
    assert [int(size) for size in given["dims"]] == [32, 32, 1]
    assert "dynamic_batching" in config
    assert config["parameters"]["digest"]["string_value"] == triton.server.bundle.digest
    assert config["backend"]


def test_reads_the_repository_index(triton: Triton):
    (entry,) = triton.index()
    assert (entry["name"], entry["version"], entry["state"]) == (triton.server.name, "1", "READY")
    assert not entry.get("reason")


@pytest.mark.parametrize("model", ["", "named"])
def test_reads_growing_statistics(triton: Triton, model: str):
    def count() -> int:
        (found,) = triton.plain("get_inference_statistics", model and triton.server.name)["model_stats"]
        return int(found["inference_stats"]["success"]["count"])

    before = count()
    triton.infer(triton.server.images[:2])
    assert count() > before


@pytest.mark.parametrize("count", [1, 3, 32])
def test_infers(triton: Triton, count: int):
    images = np.resize(triton.server.images, (count, 32, 32, 1))
    result = triton.infer(images, classes=0)
    assert np.array_equal(result.as_numpy("logits"), triton.server.logits(images))
    assert triton.response(result, "model_name") == triton.server.name
    assert triton.response(result, "model_version") == "1"


def test_receives_all_outputs_by_default(triton: Triton):
    result = triton.infer(triton.server.images[:1], model_version="1")
    assert np.array_equal(result.as_numpy("logits"), triton.server.logits(triton.server.images[:1]))
    assert result.as_numpy("other") is None


@pytest.mark.parametrize("answer", [True, False], ids=["to binary", "to json"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("classes", [0, 3])
def test_infers_in_json(http: Triton, binary: bool, answer: bool, classes: int):
    images = http.server.images[:3]
    outputs = [http.module.InferRequestedOutput("logits", binary_data=answer, class_count=classes)]
    given = http.given(images, "UINT8", binary_data=binary)
    found = http.client.infer(http.server.name, given, outputs=outputs).as_numpy("logits")
    if classes:
        check_classes(http.server, images, found, classes)
    else:
        assert np.array_equal(found, http.server.logits(images))


@pytest.mark.parametrize("coding", ["gzip", "deflate", None])
def test_infers_compressed(triton: Triton, coding: str | None):
    images = np.repeat(triton.server.images[:1], 16, axis=0)
    options = {"request_compression_algorithm": coding} if triton.is_http else {"compression_algorithm": coding}
    result = triton.infer(images, **options)
    assert np.array_equal(result.as_numpy("logits"), triton.server.logits(images))


@pytest.mark.parametrize("sent", ["gzip", None])
@pytest.mark.parametrize("asked", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_receives_compressed(http: Triton, binary: bool, asked: str, sent: str | None):
    images = np.repeat(http.server.images[:1], 16, axis=0)
    result = http.client.infer(
        http.server.name,
        http.given(images, "UINT8", binary_data=binary),
        outputs=[http.module.InferRequestedOutput("logits", binary_data=binary)],
        request_compression_algorithm=sent,
        response_compression_algorithm=asked,
    )
    assert np.array_equal(result.as_numpy("logits"), http.server.logits(images))


def test_sends_image_files(triton: Triton):
    encoded = [each.content for each in triton.server.bundle.self_test().encoded]
    preprocessing = triton.server.bundle.manifest.preprocessing
    expected = triton.server.logits(np.stack([preprocessing.image(each) for each in encoded]))
    assert np.array_equal(triton.infer(files(*encoded)).as_numpy("logits"), expected)


@pytest.mark.parametrize(("file", "text"), [(b"hello", "is not a JPEG, PNG or BMP image"), (b"GIF89a", "found GIF")])
def test_rejects_a_file_that_is_not_an_image(triton: Triton, file: bytes, text: str):
    kind, message = error_of(lambda: triton.infer(files(file)))
    assert kind == "invalid"
    assert text in message


def test_rejects_a_file_that_json_cannot_hold(http: Triton):
    file = io.BytesIO()
    Image.new("L", (32, 32), 128).save(file, "JPEG")
    text = np.array([file.getvalue().decode("latin-1")], np.object_)  # the client writes BYTES into JSON as text
    given = http.given(text, "BYTES", binary_data=False)
    kind, message = error_of(lambda: http.client.infer(http.server.name, given))
    assert kind == "invalid"
    assert "is not a JPEG, PNG or BMP image" in message


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (3, 3), (99, 10)])
def test_receives_the_best_classes(triton: Triton, asked: int, given: int):
    images = triton.server.images[:2]
    check_classes(triton.server, images, triton.infer(images, classes=asked).as_numpy("logits"), given)


def check_classes(server: Server, images: np.ndarray, found: np.ndarray, count: int) -> None:
    """Check the indices and labels of the best classes."""
    assert found.shape == (len(images), count)
    labels = server.bundle.manifest.labels
    for row, best in zip(found, np.argsort(-server.logits(images), axis=1), strict=True):
        texts = [each.decode() if isinstance(each, bytes) else each for each in row]
        assert [text.split(":")[1:] for text in texts] == [[str(i), labels[i]] for i in best[:count]]


@pytest.mark.parametrize("request_id", ["7", 'é "quoted"', "a\r\nX-Injected: 1", "x" * 256])
def test_receives_its_request_id(triton: Triton, request_id: str):
    result = triton.infer(triton.server.images[:1], request_id=request_id)
    assert triton.response(result, "id") == request_id


def test_ignores_unknown_headers_and_parameters(triton: Triton):
    result = triton.infer(
        triton.server.images[:1],
        headers={"x-request-id": "mine", "traceparent": "00-0-0-00"},
        priority=7,
        parameters={"anything": "else", "number": 7, "truth": True},
        **({"query_params": {"a": ["b", "c"]}} if triton.is_http else {}),
    )
    assert result.as_numpy("logits").shape == (1, 10)


def test_infers_within_its_timeout(triton: Triton):
    options = {} if triton.is_http else {"client_timeout": 10}
    result = triton.infer(triton.server.images[:1], timeout=10_000_000, **options)
    assert np.array_equal(result.as_numpy("logits"), triton.server.logits(triton.server.images[:1]))


def test_never_runs_a_request_after_its_timeout(triton: Triton):
    kind, text = error_of(lambda: triton.infer(triton.server.images[:1], timeout=1))
    assert kind == "late"
    assert "was not executed" in text


@pytest.mark.parametrize(
    ("name", "version", "images", "kind", "message"),
    [
        ("nope", "", LEAST, "not found", "model 'nope' is not found"),
        (None, "9", LEAST, "not found", "is not found in version '9'"),
        (None, "", LEAST[:, :, 1:], "invalid", "found UINT8 [1,32,31,1]"),
        (None, "", LEAST[0], "invalid", "found UINT8 [32,32,1]"),
        (None, "", np.repeat(LEAST, 33, axis=0), "invalid", "expected a batch of at most 32, found 33"),
        # 4.8 MB, more than gRPC's default limit
        (None, "", np.zeros((32, 224, 224, 3), np.uint8), "invalid", "found UINT8 [32,224,224,3]"),
    ],
)
def test_reads_error_messages(
    triton: Triton, name: str | None, version: str, images: np.ndarray, kind: str, message: str
):
    found, text = error_of(lambda: triton.infer(images, name=name, model_version=version))
    assert found == kind
    assert message in text


@pytest.mark.parametrize("call", ["get_model_metadata", "get_model_config", "get_inference_statistics"])
def test_reports_a_missing_model(triton: Triton, call: str):
    name, get = triton.server.name, getattr(triton.client, call)
    for arguments, text in ((("nope",), "model 'nope' is not found"), ((name, "2"), "is not found in version '2'")):
        kind, message = error_of(lambda arguments=arguments: get(*arguments))
        assert kind == "not found"
        assert text in message


@pytest.mark.parametrize("name", ["itself", "other"])
@pytest.mark.parametrize("action", ["load_model", "unload_model"])
def test_cannot_control_models_by_default(triton: Triton, action: str, name: str):
    own = triton.server.name
    kind, text = error_of(lambda: getattr(triton.client, action)(own if name == "itself" else name))
    assert kind == "forbidden"
    assert text == "models cannot be loaded or unloaded here: start the server with --model-control"
    assert triton.client.is_model_ready(own)


@pytest.mark.parametrize(
    "extension", ["trace_settings", "log_settings", "system_shared_memory_status", "cuda_shared_memory_status"]
)
def test_reports_a_missing_extension(triton: Triton, extension: str):
    kind, text = error_of(getattr(triton.client, f"get_{extension}"))
    if triton.is_http:
        assert kind == "not found"
    else:
        assert kind == "unimplemented"
        assert text.startswith("unknown call '/inference.GRPCInferenceService/")


def test_streams_are_unimplemented(server: Server):
    answers: queue.Queue[Any] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        client.start_stream(lambda result, error: answers.put(error or result))
        error = answers.get(timeout=TIMEOUT_S)
        client.stop_stream()
    assert "UNIMPLEMENTED" in str(error)


def test_infers_many_at_once_over_http(server: Server):
    with tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=8) as client:
        triton = Triton("http", server)
        given = [triton.given(server.images[index : index + 1], "UINT8") for index in range(8)]
        pending = [client.async_infer(server.name, each, request_id=str(index)) for index, each in enumerate(given)]
        for index, request in enumerate(pending):
            result = request.get_result()
            assert result.get_response()["id"] == str(index)
            assert np.array_equal(result.as_numpy("logits"), server.logits(server.images[index : index + 1]))


def test_infers_many_at_once_over_grpc(server: Server):
    answers: queue.Queue[Any] = queue.Queue()
    triton = Triton("grpc", server)
    with triton.client as client:
        for index in range(8):
            given = triton.given(server.images[index : index + 1], "UINT8")
            client.async_infer(
                server.name, given, lambda result, error: answers.put(error or result), request_id=str(index)
            )
        found = [answers.get(timeout=TIMEOUT_S) for _ in range(8)]
    assert sorted(int(result.get_response().id) for result in found) == list(range(8))
    for result in found:
        index = int(result.get_response().id)
        assert np.array_equal(result.as_numpy("logits"), server.logits(server.images[index : index + 1]))
