"""Tests of batch jobs in this process."""

import json
import os
import shutil
from pathlib import Path

import pytest
from batch_sources import contents, digit_bytes, digit_folder, job, rows, tar_of

from edgecnn.batch.output import open_output
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, MissingExtra, ProofFailed, SourceError, UsageError
from edgecnn.prediction import margin_per_image
from edgecnn.runtime.classifier import load


def test_writes_the_predictions_of_every_image_in_order(committed: Bundle, digits: Path, tmp_path: Path):
    report = job(committed, digits, tmp_path / "out", shard_images=4, top=3)
    assert (report.images, report.errors, report.shards, report.computed) == (10, 0, 3, 3)
    files = sorted(digits.rglob("*.png"))
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found] == [str(file.relative_to(digits)) for file in files]
    with load(committed, engine="onnxruntime") as classifier:
        margins = margin_per_image(classifier.logits(committed.manifest.preprocessing.images(files)))
        for row, prediction, margin in zip(found, classifier.predict(files, top=3), margins, strict=True):
            assert (row["label"], row["probability"]) == (prediction.label, pytest.approx(prediction.probability))
            assert [each["label"] for each in row["top"]] == [label for label, _ in prediction.top]
            assert row["margin"] == pytest.approx(margin)
            assert (row["labels"], row["unsure"]) == (list(prediction.labels), prediction.unsure)
            assert row["error"] is None


def test_parquet_has_the_rows_of_json_lines(committed: Bundle, digits: Path, tmp_path: Path):
    from pyarrow import parquet

    (digits / "bad.png").write_bytes(b"")
    job(committed, digits, tmp_path / "lines")
    job(committed, digits, tmp_path / "table", format="parquet")
    assert parquet.read_table(tmp_path / "table/shard-00000000.parquet").to_pylist() == rows(tmp_path / "lines")


def test_an_archive_and_a_table_give_the_answers_of_files(committed: Bundle, digits: Path, tmp_path: Path):
    import pyarrow as pa
    from pyarrow import parquet

    files = {str(path.relative_to(digits)): path.read_bytes() for path in sorted(digits.rglob("*.png"))}
    tar_of(tmp_path / "digits.tar", files)
    parquet.write_table(pa.table({"image": list(files.values())}), tmp_path / "digits.parquet")
    answers = []
    for number, source in enumerate((digits, tmp_path / "digits.tar", tmp_path / "digits.parquet")):
        job(committed, source, tmp_path / f"out-{number}")
        answers.append([{**row, "path": None} for row in rows(tmp_path / f"out-{number}")])
    assert answers[0] == answers[1] == answers[2]


def test_an_unreadable_image_is_a_row_with_an_error(committed: Bundle, digits: Path, tmp_path: Path):
    (digits / "even/0000.png").write_bytes(digit_bytes(0)[:60])
    (digits / "odd/0001.png").write_bytes(b"hello")
    (digits / "odd/link.png").symlink_to(tmp_path / "missing")
    report = job(committed, digits, tmp_path / "out")
    assert (report.images, report.errors) == (11, 3)
    assert len(report.first_errors) == 3
    failed = {row["path"]: row for row in rows(tmp_path / "out") if row["error"] is not None}
    assert set(failed) == {"even/0000.png", "odd/0001.png", "odd/link.png"}
    for row in failed.values():
        assert str(tmp_path) not in row["error"]
        assert row["label"] is row["probability"] is row["top"] is row["margin"] is None
    assert failed["odd/link.png"]["error"] == "cannot read odd/link.png: No such file or directory"


def test_a_shard_without_a_readable_image_is_written(committed: Bundle, tmp_path: Path):
    tar_of(tmp_path / "a.tar", {f"{index}.jpg": b"x" for index in range(3)})
    assert job(committed, tmp_path / "a.tar", tmp_path / "out").errors == 3


def test_the_same_job_has_the_same_bytes(committed: Bundle, digits: Path, tmp_path: Path):
    copy = shutil.copytree(digits, tmp_path / "elsewhere")
    for name, source in (("a", digits), ("b", copy)):
        job(committed, source, tmp_path / name, shard_images=3, format="parquet")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_second_run_computes_nothing(committed: Bundle, digits: Path, tmp_path: Path):
    job(committed, digits, tmp_path / "out", shard_images=4)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("shard-*")}
    report = job(committed, digits, tmp_path / "out", shard_images=4)
    assert (report.images, report.shards, report.computed, report.images_per_s) == (10, 3, 0, None)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("shard-*")} == before


@pytest.mark.parametrize("damage", ["deleted", "changed", "cut", "record"])
def test_a_second_run_computes_damaged_shards(committed: Bundle, digits: Path, tmp_path: Path, damage: str):
    out = tmp_path / "out"
    job(committed, digits, out, shard_images=4)
    whole = contents(out)
    shard = out / "shard-00000001.jsonl"
    if damage == "deleted":
        shard.unlink()
    elif damage == "changed":
        shard.write_bytes(shard.read_bytes().replace(b"label", b"lebal"))
    elif damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    else:
        manifest = json.loads((out / "manifest.json").read_text())
        del manifest["shards"][1]
        (out / "manifest.json").write_text(json.dumps(manifest))
    assert job(committed, digits, out, shard_images=4).computed == 1
    assert contents(out) == whole


def test_an_incomplete_record_is_ignored(committed: Bundle, digits: Path, tmp_path: Path):
    out = tmp_path / "out"
    job(committed, digits, out, shard_images=4)
    whole = contents(out)
    manifest = json.loads(whole["manifest.json"])
    records = [json.dumps(record) for record in manifest["shards"]]
    (out / "manifest.json").write_text(json.dumps(manifest | {"shards": []}))
    (out / "shards.jsonl").write_text(f"{records[0]}\n{records[1][:40]}")
    (out / ".shard-00000001.jsonl.new-0123456789ab").write_text("half")
    (out / ".other.new-1").mkdir()
    with open_output(out) as output:
        output.begin(output.manifest.job, output.manifest.environment)
    assert (out / "shards.jsonl").read_text() == f"{records[0]}\n"
    (out / ".other.new-1").rmdir()
    assert job(committed, digits, out, shard_images=4).computed == 2
    assert contents(out) == whole


def test_rejects_the_output_of_another_job(committed: Bundle, fp32_bundle: Bundle, digits: Path, tmp_path: Path):
    out = tmp_path / "out"
    job(committed, digits, out)
    for source, options in ((digits, {"top": 3}), (digits, {"shard_images": 2}), (digits, {"batch": 4})):
        with pytest.raises(UsageError, match="belongs to another job"):
            job(committed, source, out, **options)
    with pytest.raises(UsageError, match="belongs to another job"):
        job(fp32_bundle, digits, out)
    (digits / "new.png").write_bytes(digit_bytes(0))
    with pytest.raises(UsageError, match=r"belongs to another job \(number of images 10, now 11\)"):
        job(committed, digits, out)


@pytest.mark.parametrize("kind", ["file", "other files", "manifest of a bundle", "inside a bundle"])
def test_rejects_other_output_folders(bundle_copy: Path, committed: Bundle, digits: Path, tmp_path: Path, kind: str):
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("x")
    elif kind == "inside a bundle":
        out = bundle_copy / "out"
    elif kind == "manifest of a bundle":
        out = bundle_copy
    else:
        out.mkdir()
        (out / "notes.txt").write_text("x")
    with pytest.raises(UsageError):
        job(committed, digits, out)


def test_rejects_an_output_folder_in_the_source(committed: Bundle, digits: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(digits)
    for out in (digits / "out", tmp_path / "link/out", digits):
        with pytest.raises(UsageError, match="is inside the source"):
            job(committed, digits, out)
    with pytest.raises(UsageError, match="is inside the source"):
        job(committed, digits / "**/*.png", digits / "out")


def test_rejects_a_second_job_in_the_folder(committed: Bundle, digits: Path, tmp_path: Path):
    with open_output(tmp_path / "out"), pytest.raises(EdgecnnError, match="another job is running in"):
        job(committed, digits, tmp_path / "out")
    job(committed, digits, tmp_path / "out")


def test_rejects_sources_without_images(committed: Bundle, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("\n\n")
    for name in ("empty", "empty.txt"):
        with pytest.raises(SourceError, match="contains no"):
            job(committed, tmp_path / name, tmp_path / "out")


def test_rejects_a_bundle_whose_self_test_fails(lying_bundle: Bundle, digits: Path, tmp_path: Path):
    with pytest.raises(ProofFailed):
        job(lying_bundle, digits, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_parquet_needs_pyarrow(committed: Bundle, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"needs pyarrow.*batch.*or choose --format jsonl"):
        job(committed, digits, tmp_path / "out", format="parquet")
    assert not (tmp_path / "out").exists()
    job(committed, digits, tmp_path / "out")


def test_a_row_of_a_cascade_names_its_graph(cascade_bundle: Bundle, tmp_path: Path):
    job(cascade_bundle, digit_folder(tmp_path / "digits", 32), tmp_path / "out")
    assert {row["stage"] for row in rows(tmp_path / "out")} == {"fast", "accurate"}


def test_names_that_are_not_utf8_are_escaped(committed: Bundle, tmp_path: Path):
    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(digit_bytes(0))
    (folder / os.fsdecode(b"bad\xe9.png")).write_bytes(b"x")
    job(committed, folder, tmp_path / "out", format="parquet")
    job(committed, folder, tmp_path / "lines")
    assert [row["path"] for row in rows(tmp_path / "lines")] == ["bad\\xe9.png", "caf\\xe9.png"]


def test_another_environment_is_recorded(committed: Bundle, digits: Path, tmp_path: Path):
    out = tmp_path / "out"
    job(committed, digits, out, shard_images=4)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["environment"]["pillow"] = "1.0"
    manifest["shards"] = manifest["shards"][:2]
    (out / "manifest.json").write_text(json.dumps(manifest))
    report = job(committed, digits, out, shard_images=4)
    assert report.computed == 1
    (difference,) = report.differing
    assert difference.startswith("pillow ")
    environments = [shard["environment"] for shard in json.loads((out / "manifest.json").read_text())["shards"]]
    assert [each is None for each in environments] == [True, True, False]
