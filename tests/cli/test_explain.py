"""Tests of `edgecnn explain`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from edgecnn.bundle.store import Bundle


@pytest.fixture
def digit(tmp_path: Path, committed: Bundle) -> Path:
    path = tmp_path / "digit.png"
    Image.fromarray(committed.self_test().images[5][:, :, 0]).save(path)
    return path


def test_writes_a_page_of_a_bundle(edgecnn: Callable, committed: Bundle, digit: Path, tmp_path: Path):
    out = tmp_path / "page.html"
    found = edgecnn("explain", committed.path, digit, "--out", out)
    assert found.code == 0, found.err
    assert found.out.splitlines()[0].startswith(f"{committed.manifest.name} on onnxruntime")
    assert f"wrote {out}" in found.out
    content = out.read_text()
    assert content.startswith("<!doctype html>")
    assert 50_000 < len(content) < 3_000_000
    again = edgecnn("explain", committed.path, digit, "--out", out)
    assert again.code == 2
    assert "exists already" in again.error
    assert edgecnn("explain", committed.path, digit, "--out", out, "--force", "--lang", "zh").code == 0
    assert 'lang="zh' in out.read_text()


def test_prints_json(edgecnn: Callable, fp32_bundle: Bundle, int8_bundle: Bundle, digit: Path):
    arguments = (int8_bundle.path, digit, "--json", "--compare", fp32_bundle.path, "--class", "3")
    for engine in ("onnxruntime", "openvino"):
        found = edgecnn("explain", *arguments, "--engine", engine)
        assert found.code == 0, found.err
        result = json.loads(found.out)
        assert result["engine"].startswith(engine)
        assert result["compared"] == fp32_bundle.manifest.name
        assert 3 in [each["target"] for each in result["attention"]]
        assert {each["method"] for each in result["attention"]} == {"occlusion"}


@pytest.mark.slow
def test_a_checkpoint_adds_grad_cam(
    edgecnn: Callable, checkpoint_path: Path, fp32_bundle: Bundle, digit: Path, tmp_path: Path
):
    found = edgecnn("explain", checkpoint_path, digit, "--json", "--compare", fp32_bundle.path)
    assert found.code == 0, found.err
    result = json.loads(found.out)
    assert result["notes"] == ["not-proven"]
    assert [each["method"] for each in result["attention"]] == ["occlusion"] * 3 + ["grad-cam"] * 3
    assert all(each["snr_db"] == 200 for each in result["layers"][:-1])
    beside = edgecnn("explain", fp32_bundle.path, digit, "--json", "--checkpoint", checkpoint_path)
    assert beside.code == 0, beside.err
    assert json.loads(beside.out)["attention"] == result["attention"]
    assert json.loads(beside.out)["notes"] == []
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "expected an output, found none: add --out FILE.html or --json"),
        (["--out", "page.png"], 2, "expected a name that ends in .html"),
        (["--json", "--class", "cat"], 2, "unknown class 'cat'"),
        (["--json", "--arch", "lenet"], 2, "--arch names the network of a checkpoint"),
        (["--json", "--checkpoint", "nowhere"], 1, "nowhere is not a checkpoint"),
        (["--json", "--compare", "nowhere"], 1, "nowhere is not a bundle"),
        (["--json", "--lang", "fr"], 2, "is not one of 'auto', 'en', 'zh'"),
    ],
)
def test_rejects_invalid_options(
    edgecnn: Callable, committed: Bundle, digit: Path, arguments: list[str], code: int, said: str
):
    found = edgecnn("explain", committed.path, digit, *arguments)
    assert found.code == code
    assert said in found.error


def test_rejects_other_subjects_and_images(edgecnn: Callable, committed: Bundle, digit: Path, tmp_path: Path):
    (tmp_path / "text.png").write_text("no image")
    for subject, image, code, said in (
        (tmp_path / "nothing", digit, 1, "is not a bundle"),
        (committed.path, tmp_path / "text.png", 1, "text.png"),
        (committed.path, tmp_path / "missing.png", 1, "missing.png"),
        (digit, committed.path, 2, "swap the arguments"),
    ):
        found = edgecnn("explain", subject, image, "--json")
        assert found.code == code
        assert said in found.error
    inside = edgecnn("explain", committed.path, digit, "--out", committed.path / "page.html")
    assert inside.code == 2
    assert "is sealed" in inside.error


def test_rejects_the_checkpoint_of_another_network(
    edgecnn: Callable, committed: Bundle, checkpoint_path: Path, digit: Path
):
    found = edgecnn("explain", committed.path, digit, "--json", "--checkpoint", checkpoint_path)
    assert found.code == 2
    assert "was not made from" in found.error
    twice = edgecnn("explain", checkpoint_path, digit, "--json", "--checkpoint", checkpoint_path)
    assert twice.code == 2
    assert "is a checkpoint already" in twice.error
