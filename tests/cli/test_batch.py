"""Tests of `edgecnn batch`."""

import json
from pathlib import Path

import pytest
from batch_sources import digit_folder, rows

from edgecnn.bundle.store import Bundle


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A folder with ten images, one of them damaged."""
    folder = digit_folder(tmp_path / "digits", 10)
    (folder / "odd/0003.png").write_bytes(b"hello")
    return folder


def test_classifies_a_folder_and_reports_bad_images(edgecnn, committed: Bundle, digits: Path, tmp_path: Path):
    result = edgecnn("batch", committed.path, digits, "--out", tmp_path / "out")
    assert (result.code, result.err) == (0, "")
    first, second, third = result.out.splitlines()
    assert first.startswith(f"10 images in 1 shard: {tmp_path / 'out'}; ")
    assert first.endswith(" s")
    assert (second, third) == (
        "  1 image cannot be read: see the column error",
        "    odd/0003.png is not a JPEG, PNG, BMP, WebP, TIFF, GIF, AVIF or HEIF image",
    )
    from pyarrow import parquet

    assert parquet.read_table(tmp_path / "out/shard-00000000.parquet").num_rows == 10
    again = edgecnn("batch", committed.path, digits, "--out", tmp_path / "out")
    assert again.out.splitlines()[0] == f"10 images in 1 shard, 1 of them by an earlier run: {tmp_path / 'out'}"


def test_strict_fails_after_the_job(edgecnn, committed: Bundle, digits: Path, tmp_path: Path):
    options = ("--out", tmp_path / "out", "--format", "jsonl", "--strict")
    result = edgecnn("batch", committed.path, digits, *options)
    assert result.code == 1
    assert result.error == f"error: 1 of 10 images cannot be read: see the column error in {tmp_path / 'out'}"
    assert len(rows(tmp_path / "out")) == 10


def test_json_contains_the_report(edgecnn, committed: Bundle, digits: Path, tmp_path: Path):
    options = ("--out", tmp_path / "out", "--format", "jsonl", "--shard-images", 4, "--json")
    found = json.loads(edgecnn("batch", committed.path, digits, *options).out)
    assert (found["images"], found["errors"], found["shards"], found["computed"]) == (10, 1, 3, 3)
    assert found["images_per_s"] > 0


def test_takes_several_sources_and_a_folder_of_bundles(edgecnn, both_bundles: Path, digits: Path, tmp_path: Path):
    files = sorted((digits / "even").iterdir())
    result = edgecnn("batch", both_bundles / "lenet-digits-int8", *files, "--out", tmp_path / "out")
    assert result.out.startswith("5 images")
    untuned = edgecnn("batch", both_bundles, *files, "--out", tmp_path / "other")
    assert untuned.code == 2
    assert "edgecnn tune" in untuned.error


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--shard-images", 0], 2, "shard_images must be at least 1, found 0"),
        (["--format", "csv"], 2, "--format"),
        (["--column", "image"], 2, "--column requires Parquet files"),
        (["--max-actors", 2], 2, "max_actors requires the address of a Ray cluster"),
        (["--ray", "auto", "--min-actors", 3, "--max-actors", 2], 2, "min_actors 3 is above max_actors 2"),
        (["--ray", "auto", "--device", "cuda"], 2, "runs jobs on its CPUs, found the device cuda"),
        (["--threads", 0], 2, "--threads"),
        (["--engine", "tensorflow"], 2, "unknown engine"),
    ],
)
def test_rejects_bad_options(
    edgecnn, committed: Bundle, digits: Path, tmp_path: Path, options: list[object], code: int, message: str
):
    result = edgecnn("batch", committed.path, digits, "--out", tmp_path / "out", *options)
    assert result.code == code
    assert message in result.error
    assert not (tmp_path / "out").exists()


def test_requires_a_source_and_a_bundle(edgecnn, committed: Bundle, digits: Path, tmp_path: Path):
    assert edgecnn("batch", committed.path, "--out", tmp_path / "out").code == 2
    result = edgecnn("batch", digits, digits, "--out", tmp_path / "out")
    assert result.code == 1
    assert "is not a bundle" in result.error


def test_continues_with_the_engine_of_the_first_run(edgecnn, committed: Bundle, digits: Path, tmp_path: Path):
    common = ("batch", committed.path, digits, "--out", tmp_path / "out", "--format", "jsonl")
    edgecnn(*common, "--engine", "openvino", "--threads", 1)
    (tmp_path / "out/shard-00000000.jsonl").unlink()
    assert edgecnn(*common).code == 0
    setting = json.loads((tmp_path / "out/manifest.json").read_text())["job"]["setting"]
    assert (setting["engine"], setting["threads"]) == ("openvino", 1)
    result = edgecnn(*common, "--engine", "onnxruntime")
    assert result.code == 2
    assert "belongs to another job (setting openvino, 1 thread" in result.error
