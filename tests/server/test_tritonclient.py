"""NVIDIA's client for HTTP as it is shipped: everything that it can ask, and what it makes of the answers."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from PIL import Image
from server_process import Server
from tritonclient.utils import InferenceServerException

BINARY = pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    """A client, while good requests of others go on beside it."""
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client, server.good_neighbour():
        yield client


def pixels(images: np.ndarray, *, binary: bool = True) -> list[triton.InferInput]:
    given = triton.InferInput("image", list(images.shape), "UINT8")
    given.set_data_from_numpy(images, binary_data=binary)
    return [given]


def files(*contents: bytes, binary: bool = True) -> list[triton.InferInput]:
    given = triton.InferInput("image", [len(contents)], "BYTES")
    array = np.array(contents, np.object_)
    if not binary:  # the client writes BYTES into JSON as text only, which a JPEG is not
        array = np.array([content.decode("latin-1") for content in contents], np.object_)
    given.set_data_from_numpy(array, binary_data=binary)
    return [given]


def logits(*, binary: bool = True, classes: int = 0) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput("logits", binary_data=binary, class_count=classes)]


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """The status and the text with which the client fails."""
    with pytest.raises(InferenceServerException) as caught:
        call()
    return caught.value.status(), caught.value.message()


def test_it_sees_that_the_server_lives_and_is_ready(client: triton.InferenceServerClient, server: Server):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(server.name)
    assert client.is_model_ready(server.name, "1")
    assert not client.is_model_ready("nope")
    assert not client.is_model_ready(server.name, "2")


def test_it_reads_metadata_configuration_and_index(client: triton.InferenceServerClient, server: Server):
    assert set(client.get_server_metadata()) == {"name", "version", "extensions"}
    model = client.get_model_metadata(server.name, "1")
    assert model["versions"] == ["1"]
    assert [each["name"] for each in model["inputs"] + model["outputs"]] == ["image", "logits"]
    config = client.get_model_config(server.name)
    assert config["max_batch_size"] > 1
    assert config["input"] == [{"name": "image", "data_type": "TYPE_UINT8", "dims": [32, 32, 1]}]
    index = client.get_model_repository_index()
    assert [(each["name"], each["state"]) for each in index] == [(server.name, "READY")]


@pytest.mark.parametrize("model", ["", "named"])
def test_it_reads_statistics_that_grow(model: str, client: triton.InferenceServerClient, server: Server):
    def count() -> int:
        (found,) = client.get_inference_statistics(model and server.name)["model_stats"]
        return int(found["inference_stats"]["success"]["count"])

    before = count()
    client.infer(server.name, pixels(server.images[:2]))
    assert count() > before


@BINARY
@pytest.mark.parametrize("answer", [True, False], ids=["to binary", "to json"])
@pytest.mark.parametrize("count", [1, 3])
def test_it_infers(count: int, answer: bool, binary: bool, client: triton.InferenceServerClient, server: Server):
    images = server.images[:count]
    result = client.infer(server.name, pixels(images, binary=binary), outputs=logits(binary=answer))
    assert np.array_equal(result.as_numpy("logits"), server.logits(images))
    assert result.get_response()["model_name"] == server.name


def test_without_a_word_on_outputs_it_gets_all_of_them(client: triton.InferenceServerClient, server: Server):
    result = client.infer(server.name, pixels(server.images[:1]), model_version="1")
    assert np.array_equal(result.as_numpy("logits"), server.logits(server.images[:1]))
    assert result.as_numpy("other") is None


@pytest.mark.parametrize("asked", ["gzip", "deflate", None])
@pytest.mark.parametrize("sent", ["gzip", "deflate", None])
@BINARY
def test_it_infers_compressed_both_ways(
    binary: bool, sent: str | None, asked: str | None, client: triton.InferenceServerClient, server: Server
):
    images = np.repeat(server.images[:1], 16, axis=0)
    result = client.infer(
        server.name,
        pixels(images, binary=binary),
        outputs=logits(binary=binary),
        request_compression_algorithm=sent,
        response_compression_algorithm=asked,
    )
    assert np.array_equal(result.as_numpy("logits"), server.logits(images))


def test_it_sends_image_files(client: triton.InferenceServerClient, server: Server):
    encoded = server.bundle.self_test().encoded
    result = client.infer(server.name, files(*(each.content for each in encoded)), outputs=logits())
    preprocessing = server.bundle.manifest.preprocessing
    expected = server.logits(np.stack([preprocessing.image(each.content) for each in encoded]))
    assert np.array_equal(result.as_numpy("logits"), expected)


def test_files_that_json_cannot_hold_are_refused_and_not_guessed(client: triton.InferenceServerClient, server: Server):
    file = io.BytesIO()
    Image.new("L", (32, 32), 128).save(file, "JPEG")
    status, text = refused(lambda: client.infer(server.name, files(file.getvalue(), binary=False)))
    assert status == "400"
    assert "is not a JPEG, PNG or BMP image" in text


@BINARY
@pytest.mark.parametrize(("asked", "given"), [(1, 1), (3, 3), (99, 10)])
def test_it_gets_the_best_classes_with_their_labels(
    asked: int, given: int, binary: bool, client: triton.InferenceServerClient, server: Server
):
    images = server.images[:2]
    result = client.infer(server.name, pixels(images), outputs=logits(binary=binary, classes=asked))
    found = result.as_numpy("logits")
    assert found.shape == (2, given)
    scores, labels = server.logits(images), server.bundle.manifest.labels
    for row, best in zip(found, np.argsort(-scores, axis=1), strict=True):
        texts = [each.decode() if isinstance(each, bytes) else each for each in row]
        assert [text.split(":")[1:] for text in texts] == [[str(i), labels[i]] for i in best[:given]]


@pytest.mark.parametrize("request_id", ["7", 'é "quoted"', "a\r\nX-Injected: 1", "x" * 256])
def test_its_request_id_comes_back_in_the_answer(request_id: str, client: triton.InferenceServerClient, server: Server):
    result = client.infer(server.name, pixels(server.images[:1]), request_id=request_id)
    assert result.get_response()["id"] == request_id


def test_its_headers_and_query_do_no_harm(client: triton.InferenceServerClient, server: Server):
    result = client.infer(
        server.name,
        pixels(server.images[:1]),
        headers={"X-Request-ID": "mine", "Traceparent": "00-0-0-00"},
        query_params={"a": ["b", "c"]},
        priority=7,
        parameters={"anything": "else"},
    )
    assert result.as_numpy("logits").shape == (1, 10)


def test_a_timeout_that_is_long_enough_changes_nothing(client: triton.InferenceServerClient, server: Server):
    result = client.infer(server.name, pixels(server.images[:1]), timeout=10_000_000)
    assert np.array_equal(result.as_numpy("logits"), server.logits(server.images[:1]))


def test_a_timeout_that_has_passed_is_504_and_nothing_was_run(client: triton.InferenceServerClient, server: Server):
    status, text = refused(lambda: client.infer(server.name, pixels(server.images[:1]), timeout=1))
    assert status == "504"
    assert "was not executed" in text


@pytest.mark.parametrize(
    ("name", "version", "images", "status", "message"),
    [
        ("nope", "", np.zeros((1, 32, 32, 1), np.uint8), "404", "model 'nope' is not found"),
        ("", "9", np.zeros((1, 32, 32, 1), np.uint8), "404", "is not found in version '9'"),
        ("", "", np.zeros((1, 32, 31, 1), np.uint8), "400", "found UINT8 [1,32,31,1]"),
        ("", "", np.zeros((1, 32, 32), np.uint8), "400", "found UINT8 [1,32,32]"),
        ("", "", np.zeros((33, 32, 32, 1), np.uint8), "400", "expected a batch of at most 32, found 33"),
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


@pytest.mark.parametrize("name", ["itself", "other"])
@pytest.mark.parametrize("action", ["load_model", "unload_model"])
def test_it_cannot_load_and_unload_and_hears_why(
    action: str, name: str, client: triton.InferenceServerClient, server: Server
):
    status, text = refused(lambda: getattr(client, action)(server.name if name == "itself" else name))
    assert status == "403"
    assert text == "models cannot be loaded or unloaded here: start the server with --model-control"
    assert client.is_model_ready(server.name)


@pytest.mark.parametrize(
    "call",
    ["get_trace_settings", "get_log_settings", "get_system_shared_memory_status", "get_cuda_shared_memory_status"],
)
def test_an_extension_that_there_is_not_is_404(call: str, client: triton.InferenceServerClient):
    assert refused(getattr(client, call))[0] == "404"


def test_it_infers_many_at_once_in_its_own_threads(server: Server):
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=8) as client:
        given = [pixels(server.images[index : index + 1]) for index in range(8)]
        pending = [client.async_infer(server.name, each, request_id=str(index)) for index, each in enumerate(given)]
        for index, request in enumerate(pending):
            result = request.get_result()
            assert result.get_response()["id"] == str(index)
            assert np.array_equal(result.as_numpy("logits"), server.logits(server.images[index : index + 1]))
