"""Tests of the Ray Serve deployment, against `edgecnn serve`'s answers."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_sources import digit_bytes
from repository import COMMITTED, REPOSITORY
from server_process import Server, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The URL of a deployment on a cluster of one core, in a process of its own: Ray Serve's imports emit warnings."""
    command = [sys.executable, "-m", "ray_serving"]
    paths = os.pathsep.join(map(str, [Path(__file__).parents[1] / "support", REPOSITORY]))
    environment = os.environ | {"PYTHONPATH": paths}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        found = next((line.strip() for line in process.stdout if line.startswith("http://")), "")
        assert found, f"the deployment has ended with {process.wait()}"
        yield found
        process.stdin.close()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("--engine", "onnxruntime", "--threads", "1") as found:
        yield found


def ask(url: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def pixels(count: int) -> bytes:
    images = np.frombuffer(bytes(range(64)) * count, np.uint8).reshape(count, 8, 8, 1)
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(images.shape), "data": images.ravel().tolist()}
    return json.dumps({"id": "7", "inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("query", "body", "kind"),
    [
        ("", pixels(1), "application/json"),
        ("", pixels(5), "application/json"),
        ("?probabilities=true", pixels(2), "application/json"),
        ("", digit_bytes(3), "image/png"),
        ("?classification=3", digit_bytes(3), "image/png"),
        ("?classification=x", digit_bytes(3), "image/png"),
        ("", b"", "application/json"),
        ("", b"{", "application/json"),
        ("", pixels(1).replace(b"UINT8", b"FP32"), "application/json"),
        ("", b"no image", "image/png"),
        ("", b"GIF89a", "image/gif"),
        ("", b"", "image/png"),
        ("", digit_bytes(3)[:60], "image/png"),
    ],
    ids=[
        *("an image", "five images", "probabilities", "a file", "best classes", "a wrong query", "no body"),
        *("wrong JSON", "a wrong datatype", "text as an image", "an unserved format", "an empty file", "a cut file"),
    ],
)
def test_answers_are_those_of_edgecnn_serve(url: str, server: Server, query: str, body: bytes, kind: str):
    path = f"/v2/models/{COMMITTED.name}/infer{query}"
    status, found = ask(url + path, body, kind)
    expected_status, expected = ask(f"http://127.0.0.1:{server.port}{path}", body, kind)
    assert (status, found) == (expected_status, expected)


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", f"/v2/models/{COMMITTED.name}"])
def test_documents_are_those_of_edgecnn_serve(url: str, server: Server, path: str):
    assert ask(url + path) == ask(f"http://127.0.0.1:{server.port}{path}")


@pytest.mark.parametrize(("path", "status"), [("/v2/models/other/infer", 404), ("/", 404), ("/v2/health/live", 405)])
def test_rejects_other_requests(url: str, path: str, status: int):
    assert ask(url + path, b"{}")[0] == status
