"""NVIDIA's client for gRPC as it is shipped: everything that it can ask, and what it makes of the answers."""

import queue
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from server_process import TIMEOUT_S, Server, serving
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """A server of the committed bundle, over gRPC too."""
    with serving("--grpc-port", 0) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    """A client, while good requests of others go on beside it over HTTP."""
    with triton.InferenceServerClient(server.grpc_address) as client, server.good_neighbour():
        yield client


def pixels(images: np.ndarray) -> list[triton.InferInput]:
    given = triton.InferInput("image", list(images.shape), "UINT8")
    given.set_data_from_numpy(images)
    return [given]


def files(*contents: bytes) -> list[triton.InferInput]:
    given = triton.InferInput("image", [len(contents)], "BYTES")
    given.set_data_from_numpy(np.array(contents, np.object_))
    return [given]


def logits(*, classes: int = 0) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput("logits", class_count=classes)]


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """The status and the text with which the client fails."""
    with pytest.raises(InferenceServerException) as caught:
        call()
    return caught.value.status().removeprefix("StatusCode."), caught.value.message()


def test_it_sees_that_the_server_lives_and_is_ready(client: triton.InferenceServerClient, server: Server):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(server.name)
    assert client.is_model_ready(server.name, "1")
    assert not client.is_model_ready("nope")
    assert not client.is_model_ready(server.name, "2")


def test_it_reads_metadata_and_configuration_and_index(client: triton.InferenceServerClient, server: Server):
    of_http = server.get("/v2").json
    assert client.get_server_metadata(as_json=True) == of_http
    model = client.get_model_metadata(server.name, "1", as_json=True)
    assert model["versions"] == ["1"]
    assert [(each["name"], each["datatype"], each["shape"]) for each in model["inputs"] + model["outputs"]] == [
        ("image", "UINT8", ["-1", "32", "32", "1"]),
        ("logits", "FP32", ["-1", "10"]),
    ]
    config = client.get_model_config(server.name).config
    assert config.max_batch_size == 32
    assert [(each.name, each.data_type, list(each.dims)) for each in config.input] == [("image", 2, [32, 32, 1])]
    assert config.WhichOneof("scheduling_choice") == "dynamic_batching"
    assert config.parameters["digest"].string_value == server.bundle.digest
    assert config.backend
    (entry,) = client.get_model_repository_index().models
    assert (entry.name, entry.version, entry.state, entry.reason) == (server.name, "1", "READY", "")


@pytest.mark.parametrize("model", ["", "named"])
def test_it_reads_statistics_that_grow(model: str, client: triton.InferenceServerClient, server: Server):
    def count() -> int:
        (found,) = client.get_inference_statistics(model and server.name).model_stats
        assert isinstance(found.inference_stats.success.count, int)
        return int(found.inference_stats.success.count)

    before = count()
    client.infer(server.name, pixels(server.images[:2]))
    assert count() > before


@pytest.mark.parametrize("count", [1, 3, 32])
def test_it_infers(count: int, client: triton.InferenceServerClient, server: Server):
    images = np.resize(server.images, (count, *server.images.shape[1:]))
    result = client.infer(server.name, pixels(images), outputs=logits())
    assert np.array_equal(result.as_numpy("logits"), server.logits(images))
    assert result.get_response().model_name == server.name
    assert result.get_response().model_version == "1"


def test_without_a_word_on_outputs_it_gets_all_of_them(client: triton.InferenceServerClient, server: Server):
    result = client.infer(server.name, pixels(server.images[:1]), model_version="1")
    assert np.array_equal(result.as_numpy("logits"), server.logits(server.images[:1]))
    assert result.as_numpy("other") is None


@pytest.mark.parametrize("sent", ["gzip", "deflate", None])
def test_it_infers_compressed(sent: str | None, client: triton.InferenceServerClient, server: Server):
    images = np.repeat(server.images[:1], 16, axis=0)
    result = client.infer(server.name, pixels(images), compression_algorithm=sent)
    assert np.array_equal(result.as_numpy("logits"), server.logits(images))


def test_it_sends_image_files(client: triton.InferenceServerClient, server: Server):
    encoded = server.bundle.self_test().encoded
    result = client.infer(server.name, files(*(each.content for each in encoded)), outputs=logits())
    preprocessing = server.bundle.manifest.preprocessing
    expected = server.logits(np.stack([preprocessing.image(each.content) for each in encoded]))
    assert np.array_equal(result.as_numpy("logits"), expected)


def test_a_file_that_is_no_image_is_refused(client: triton.InferenceServerClient, server: Server):
    status, text = refused(lambda: client.infer(server.name, files(b"hello")))
    assert status == "INVALID_ARGUMENT"
    assert "is not a JPEG, PNG or BMP image" in text
    status, text = refused(lambda: client.infer(server.name, files(b"GIF89a")))
    assert status == "INVALID_ARGUMENT"
    assert "the image is GIF" in text


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (3, 3), (99, 10)])
def test_it_gets_the_best_classes_with_their_labels(
    asked: int, given: int, client: triton.InferenceServerClient, server: Server
):
    images = server.images[:2]
    found = client.infer(server.name, pixels(images), outputs=logits(classes=asked)).as_numpy("logits")
    assert found.shape == (2, given)
    scores, labels = server.logits(images), server.bundle.manifest.labels
    for row, best in zip(found, np.argsort(-scores, axis=1), strict=True):
        assert [text.decode().split(":")[1:] for text in row] == [[str(i), labels[i]] for i in best[:given]]


@pytest.mark.parametrize("request_id", ["", "7", 'é "quoted"', "a\r\nX-Injected: 1", "x" * 256])
def test_its_request_id_comes_back_in_the_answer(request_id: str, client: triton.InferenceServerClient, server: Server):
    result = client.infer(server.name, pixels(server.images[:1]), request_id=request_id)
    assert result.get_response().id == request_id


def test_its_headers_and_parameters_do_no_harm(client: triton.InferenceServerClient, server: Server):
    result = client.infer(
        server.name,
        pixels(server.images[:1]),
        headers={"x-request-id": "mine", "traceparent": "00-0-0-00"},
        priority=7,
        parameters={"anything": "else", "number": 7, "truth": True},
    )
    assert result.as_numpy("logits").shape == (1, 10)


def test_a_timeout_that_is_long_enough_changes_nothing(client: triton.InferenceServerClient, server: Server):
    result = client.infer(server.name, pixels(server.images[:1]), timeout=10_000_000, client_timeout=10)
    assert np.array_equal(result.as_numpy("logits"), server.logits(server.images[:1]))


def test_a_timeout_that_has_passed_is_told_and_nothing_was_run(client: triton.InferenceServerClient, server: Server):
    status, text = refused(lambda: client.infer(server.name, pixels(server.images[:1]), timeout=1))
    assert status == "DEADLINE_EXCEEDED"
    assert "was not executed" in text


@pytest.mark.parametrize(
    ("name", "version", "images", "status", "message"),
    [
        ("nope", "", np.zeros((1, 32, 32, 1), np.uint8), "NOT_FOUND", "model 'nope' is not found"),
        ("", "9", np.zeros((1, 32, 32, 1), np.uint8), "NOT_FOUND", "is not found in version '9'"),
        ("", "", np.zeros((1, 32, 31, 1), np.uint8), "INVALID_ARGUMENT", "found UINT8 [1,32,31,1]"),
        ("", "", np.zeros((1, 32, 32), np.uint8), "INVALID_ARGUMENT", "found UINT8 [1,32,32]"),
        ("", "", np.zeros((33, 32, 32, 1), np.uint8), "INVALID_ARGUMENT", "expected a batch of at most 32, found 33"),
    ],
)
def test_it_hears_what_was_wrong(
    name: str,
    version: str,
    images: np.ndarray,
    status: str,
    message: str,
    client: triton.InferenceServerClient,
    server: Server,
):
    found, text = refused(lambda: client.infer(name or server.name, pixels(images), model_version=version))
    assert found == status
    assert message in text


def test_a_batch_of_photographs_is_received_though_it_is_more_than_grpcs_own_limit(
    client: triton.InferenceServerClient, server: Server
):
    status, text = refused(lambda: client.infer(server.name, pixels(np.zeros((32, 224, 224, 3), np.uint8))))
    assert status == "INVALID_ARGUMENT"
    assert "found UINT8 [32,224,224,3]" in text  # 4.8 MB, which this model does not take


@pytest.mark.parametrize("call", ["get_model_metadata", "get_model_config", "get_inference_statistics"])
def test_a_model_that_there_is_not_is_not_found(call: str, client: triton.InferenceServerClient, server: Server):
    assert refused(lambda: getattr(client, call)("nope")) == ("NOT_FOUND", "model 'nope' is not found")
    status, text = refused(lambda: getattr(client, call)(server.name, "2"))
    assert (status, text) == ("NOT_FOUND", f"model '{server.name}' is not found in version '2'")


@pytest.mark.parametrize("name", ["itself", "other"])
@pytest.mark.parametrize("action", ["load_model", "unload_model"])
def test_it_cannot_load_and_unload_and_hears_why(
    action: str, name: str, client: triton.InferenceServerClient, server: Server
):
    status, text = refused(lambda: getattr(client, action)(server.name if name == "itself" else name))
    assert status == "PERMISSION_DENIED"
    assert text == "models cannot be loaded or unloaded here: start the server with --model-control"
    assert client.is_model_ready(server.name)


def test_with_model_control_it_unloads_and_loads():
    with serving("--grpc-port", 0, "--model-control") as server:
        with triton.InferenceServerClient(server.grpc_address) as client:
            client.unload_model(server.name)
            assert not client.is_model_ready(server.name)
            assert refused(lambda: client.infer(server.name, pixels(server.images[:1])))[0] == "UNAVAILABLE"
            (entry,) = client.get_model_repository_index().models
            assert (entry.state, entry.reason) == ("UNAVAILABLE", "it was unloaded")
            status, text = refused(lambda: client.load_model(server.name, config="{}"))
            assert status == "INVALID_ARGUMENT"
            assert "parameter 'config'" in text
            assert refused(lambda: client.load_model("nope"))[0] == "NOT_FOUND"
            client.load_model(server.name)
            assert client.is_model_ready(server.name)
        server.unharmed()


@pytest.mark.parametrize(
    "call",
    ["get_trace_settings", "get_log_settings", "get_system_shared_memory_status", "get_cuda_shared_memory_status"],
)
def test_an_extension_that_there_is_not_is_unimplemented(call: str, client: triton.InferenceServerClient):
    status, text = refused(getattr(client, call))
    assert status == "UNIMPLEMENTED"
    assert text.startswith("there is no call '/inference.GRPCInferenceService/")


def test_a_stream_is_unimplemented(client: triton.InferenceServerClient):
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error or result))
    error = answers.get(timeout=TIMEOUT_S)
    client.stop_stream()
    assert "UNIMPLEMENTED" in str(error)


def test_it_infers_many_at_once(client: triton.InferenceServerClient, server: Server):
    answers: queue.Queue[Any] = queue.Queue()
    for index in range(8):
        given = pixels(server.images[index : index + 1])
        client.async_infer(
            server.name, given, lambda result, error: answers.put(error or result), request_id=str(index)
        )
    found = {}
    for _ in range(8):
        result = answers.get(timeout=TIMEOUT_S)
        assert isinstance(result, triton.InferResult), result
        found[int(result.get_response().id)] = result.as_numpy("logits")
    for index, scores in found.items():
        assert np.array_equal(scores, server.logits(server.images[index : index + 1]))
    assert len(found) == 8
