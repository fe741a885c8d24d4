"""Tests of `edgecnn predict --url`: the output and exit codes are the same as with a local bundle."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import COMMITTED, REPOSITORY
from scripted_server import Asked, Model, Said, reply, site, unused_url
from server_process import Server, serving

SAMPLES = sorted((REPOSITORY / "calibration" / "digits-sample").rglob("*.png"))[:5]
KEY = "0123456789abcdef-Key"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("key") / "key"
    file.write_text(f"{KEY}\n")
    with serving("--api-key-file", file, headers={"X-API-Key": KEY}) as server:
        yield server
        server.unharmed()


@pytest.fixture
def asked(server: Server, tmp_path: Path) -> list[object]:
    """The options for this server."""
    (tmp_path / "key").write_text(KEY)
    return ["--url", f"http://127.0.0.1:{server.port}", "--api-key-file", tmp_path / "key"]


def test_prints_what_a_bundle_prints(edgecnn, asked: list[object]):
    here = edgecnn("predict", COMMITTED, *SAMPLES, "--top", 3)
    there = edgecnn("predict", *asked, *SAMPLES, "--top", 3)
    assert there.code == here.code == 0, there.err
    assert there.out == here.out
    assert there.err == ""


def test_json_names_server_and_bundle(edgecnn, server: Server, asked: list[object]):
    here = edgecnn("predict", COMMITTED, *SAMPLES, "--json").json_lines
    found = edgecnn("predict", *asked, "--model", server.name, *SAMPLES, "--json").json_lines
    for one, other in zip(found, here, strict=True):
        assert (one.pop("url"), one.pop("digest")) == (asked[1], server.bundle.digest)
        assert (one["image"], one["label"], one["index"]) == (other["image"], other["label"], other["index"])
        for there, local in zip(one["top"], other["top"], strict=True):
            assert there == {"label": local["label"], "probability": pytest.approx(local["probability"], abs=1e-6)}


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0 half a jpeg", b"GIF89a", None])
def test_classifies_good_images_after_bad_ones(edgecnn, asked: list[object], tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "bad.jpg").write_bytes(content)
    result = edgecnn("predict", *asked, SAMPLES[0], tmp_path / "bad.jpg", SAMPLES[1])
    assert result.code == 1
    assert [line.partition(":")[0] for line in result.out.splitlines()] == [str(SAMPLES[0]), str(SAMPLES[1])]
    first, last = result.err.splitlines()
    assert first.startswith("error: ")
    assert f"{tmp_path / 'bad.jpg'}" in first
    assert last == "error: cannot read 1 of 3 images: see the errors above"


def test_uses_any_reachable_server(edgecnn, asked: list[object]):
    result = edgecnn("predict", "--url", unused_url(), *asked, *SAMPLES)
    assert result.code == 0, result.err
    assert len(result.out.splitlines()) == 5


def test_reports_a_missing_key(edgecnn, asked: list[object]):
    result = edgecnn("predict", *asked[:2], SAMPLES[0])
    assert result.code == 1
    assert "; pass its API key: api_key, or --api-key-file" in result.error


def test_exit_code_without_an_answer(edgecnn):
    url = unused_url()
    result = edgecnn("predict", "--url", url, "--timeout-s", 0.5, SAMPLES[0])
    assert result.code == 1
    assert result.error.endswith(f"{url}: Connection refused")


def test_requires_a_name_for_several_models(edgecnn):
    class Two(Model):
        def __call__(self, asked: Asked) -> Said:
            index = [{"name": "m"}, {"name": "n"}]
            return reply(200, index) if asked.path.endswith("/index") else super().__call__(asked)

    with site(Two()) as found:
        result = edgecnn("predict", "--url", found.url, SAMPLES[0])
        assert result.code == 2
        assert "serves m, n: choose one with model (--model)" in result.error


@pytest.mark.parametrize(
    "option",
    [("--engine", "openvino"), ("--device", "cpu"), ("--precision", "fp32"), ("--threads", "1"), ("--strict",)],
)
def test_rejects_engine_options_with_url(edgecnn, option: tuple[str, ...]):
    result = edgecnn("predict", "--url", unused_url(), *option, SAMPLES[0])
    assert result.code == 2
    assert f"{option[0]} cannot be used with --url" in result.err


@pytest.mark.parametrize(
    "option", [("--model", "m"), ("--api-key-file", "key"), ("--ca", "ca.pem"), ("--timeout-s", "3")]
)
def test_rejects_server_options_without_url(edgecnn, option: tuple[str, ...]):
    result = edgecnn("predict", COMMITTED, SAMPLES[0], *option)
    assert result.code == 2
    assert f"{option[0]} requires --url" in result.err


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://a", "", "http://a:99999999"])
def test_rejects_wrong_urls(edgecnn, url: str):
    result = edgecnn("predict", "--url", url, SAMPLES[0])
    assert result.code == 2
    assert "is not the URL of a server, such as http://127.0.0.1:8080" in result.error


def test_requires_an_image(edgecnn):
    result = edgecnn("predict", "--url", unused_url())
    assert result.code == 2
    assert "expected at least one image, found none: edgecnn predict --url URL IMAGE..." in result.error


def test_rejects_a_url_as_bundle(edgecnn):
    result = edgecnn("predict", unused_url(), SAMPLES[0])
    assert result.code == 2
    assert "expected a bundle, found the URL" in result.error


def test_rejects_a_bundle_with_url(edgecnn):
    result = edgecnn("predict", "--url", unused_url(), COMMITTED, SAMPLES[0])
    assert result.code == 2
    assert "expected images with --url, found the bundle" in result.error


def test_rejects_a_malformed_key_file(edgecnn, tmp_path: Path):
    (tmp_path / "key").write_text("two words")
    result = edgecnn("predict", "--url", unused_url(), "--api-key-file", tmp_path / "key", SAMPLES[0])
    assert result.code == 2
    assert "must contain one line of printable ASCII characters" in result.error
    assert "words" not in result.error


def test_accepts_a_short_key(edgecnn, tmp_path: Path):
    (tmp_path / "key").write_text("short\n")
    with site(Model()) as found:
        edgecnn("predict", "--url", found.url, "--api-key-file", tmp_path / "key", SAMPLES[0])
        assert {asked.headers["authorization"] for asked in found.asked} == {"Bearer short"}
