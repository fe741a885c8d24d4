"""Tests of batch jobs whose source vanishes, or whose output cannot be written."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from batch_sources import contents, digit_folder, job, rows
from small_places import read_only, small_disk

from edgecnn.batch.plan import Entry
from edgecnn.batch.sources import FileSource
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, SourceError
from edgecnn.runtime.images import Item


def test_keeps_finished_shards_when_the_source_vanishes(committed: Bundle, tmp_path: Path):
    digits = digit_folder(tmp_path / "digits", 40)
    names = [path.relative_to(digits) for path in sorted(digits.rglob("*.png"))]
    (tmp_path / "list.txt").write_text("".join(f"digits/{name}\n" for name in names))
    out = tmp_path / "out"
    job(committed, tmp_path / "list.txt", out, shard_images=10)
    whole = contents(out)
    (out / "shard-00000001.jsonl").unlink()
    moved = digits.rename(tmp_path / "moved")
    digits.mkdir()  # as an unmounted disk leaves its mount point
    with pytest.raises(SourceError, match="has vanished: 10 images of shard 1 do not exist"):
        job(committed, tmp_path / "list.txt", out, shard_images=10)
    kept = contents(out)
    assert all(kept[name] == whole[name] for name in whole if name.startswith("shard-") and "1.jsonl" not in name)
    digits.rmdir()
    moved.rename(digits)
    assert job(committed, tmp_path / "list.txt", out, shard_images=10).computed == 1
    assert contents(out) == whole


def test_a_shard_of_missing_images_is_written_if_the_folder_is_there(committed: Bundle, digits: Path, tmp_path: Path):
    (tmp_path / "list.txt").write_text("digits/even/0000.png\ndigits/even/missing.png\n")
    report = job(committed, tmp_path / "list.txt", tmp_path / "out", shard_images=1)
    assert (report.images, report.errors) == (2, 1)


def test_an_image_that_cannot_be_opened_is_a_row(committed: Bundle, digits: Path, tmp_path: Path):
    (tmp_path / "list.txt").write_text(f"digits/even/0000.png\n{'x' * 300}.png\n")
    assert job(committed, tmp_path / "list.txt", tmp_path / "out").errors == 1


def test_a_source_that_vanishes_within_a_shard_stops_the_job(
    committed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    digits = digit_folder(tmp_path / "digits", 40)
    read = FileSource.read

    def vanishing(self: FileSource, entries: Sequence[Entry]) -> Iterator[Item]:
        if "odd/0001.png" in (entry.name for entry in entries):
            shutil.rmtree(digits)
            digits.mkdir()
        return read(self, entries)

    monkeypatch.setattr(FileSource, "read", vanishing)
    with pytest.raises(SourceError, match="digits has vanished"):
        job(committed, digits, tmp_path / "out", shard_images=100)
    assert not list((tmp_path / "out").glob("shard-*"))


def test_keeps_finished_shards_on_a_full_disk(committed: Bundle, tmp_path: Path):
    digits = digit_folder(tmp_path / "digits", 400)
    with small_disk(tmp_path / "disk", kib=60) as disk:
        with pytest.raises(EdgecnnError, match=r"No space left on device; finished shards are kept: free some space"):
            job(committed, digits, disk / "out", shard_images=50)
        finished = [name for name in contents(disk / "out") if name.startswith("shard-")]
        assert finished
        assert not list((disk / "out").glob(".*"))
        shutil.copytree(disk / "out", tmp_path / "out")
    report = job(committed, digits, tmp_path / "out", shard_images=50)
    assert 0 < report.computed < report.shards == 8
    assert len(rows(tmp_path / "out")) == 400


def test_reports_a_folder_that_cannot_be_written(committed: Bundle, digits: Path, tmp_path: Path):
    (tmp_path / "place").mkdir()
    with read_only(tmp_path / "place"), pytest.raises(EdgecnnError, match="Read-only file system"):
        job(committed, digits, tmp_path / "place/out")
