"""Tests of `serve --formats`: what is decoded, refused and described."""

from collections.abc import Iterator

import numpy as np
import pytest
from asking import encoded, refusal
from PIL import Image
from server_process import Server, serving

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
FILES = {kind: encoded(PICTURE, kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF")}


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """Yield a server that accepts two formats. It overrides the shared server."""
    with serving("--formats", "webp,tiff", "--grpc-port", 0) as server:
        yield server


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
def test_decodes_the_chosen_formats(kind: str, server: Server):
    reply = server.request("POST", server.infer_path, FILES[kind], {"Content-Type": f"image/{kind.lower()}"})
    assert reply.status == 200
    expected = server.logits(server.bundle.manifest.preprocessing.image(FILES[kind])[None])
    assert np.array_equal(np.array(reply.json["outputs"][0]["data"], np.float32).reshape(expected.shape), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_refuses_the_other_formats(kind: str, server: Server):
    reply = server.request("POST", server.infer_path, FILES[kind], {"Content-Type": f"image/{kind.lower()}"})
    assert refusal(reply, 415) == f"expected a WebP or TIFF image, found {kind}"


def test_names_the_content_types(server: Server):
    for kind in ("WEBP", "JPEG"):
        said = refusal(server.request("POST", server.infer_path, FILES[kind]))
        assert said.endswith("send it with Content-Type: image/webp or image/tiff (curl -H)")


def test_describes_the_chosen_formats(server: Server):
    body = server.get("/openapi.json").json["paths"][server.infer_path]["post"]["requestBody"]
    assert [each for each in body["content"] if each.startswith("image/")] == ["image/webp", "image/tiff"]
    assert "**image files** (WebP or TIFF)" in body["description"]
    page = server.get("/").body.decode()
    assert "WebP, TIFF" in page
    assert 'accept="image/webp,image/tiff"' in page
