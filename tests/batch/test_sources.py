"""Tests of the sources of batch jobs."""

import os
from pathlib import Path

import pytest
from batch_sources import digit_bytes, digit_folder, tar_of

from edgecnn.batch.plan import Plan
from edgecnn.batch.sources import open_images
from edgecnn.errors import ImageError, SourceError, UsageError

PNG = digit_bytes(0)


def names(*sources: Path | str, column: str | None = None) -> list[str]:
    return [entry.name for entry in open_images(list(map(str, sources)), column=column).entries()]


def read(*sources: Path | str, column: str | None = None) -> list[object]:
    """Return the content of each image, or its error."""
    source = open_images(list(map(str, sources)), column=column)
    found = source.read(list(source.entries()))
    return [Path(each).read_bytes() if isinstance(each, str | os.PathLike) else each for each in found]


def test_lists_a_folder_in_a_fixed_order(tmp_path: Path):
    for name in ("b/2.jpg", "b.jpg", "a/x.webp", "a/.hidden", "a/Thumbs.db", "b/10.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    assert names(tmp_path) == ["a/x.webp", "b/10.jpg", "b/2.jpg", "b.jpg"]
    assert read(tmp_path) == [PNG] * 4


def test_follows_links_but_not_in_circles(tmp_path: Path):
    digit_folder(tmp_path / "digits", 2)
    (tmp_path / "digits/again").symlink_to(tmp_path / "digits")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/link").symlink_to(tmp_path / "digits/even")
    assert names(tmp_path / "digits") == ["even/0000.png", "odd/0001.png"]
    assert names(tmp_path / "other") == ["link/0000.png"]


def test_reads_a_list_relative_to_its_folder(tmp_path: Path):
    digit_folder(tmp_path / "digits", 2)
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfdigits/odd/0001.png\r\n\n./digits/even/0000.png\nmissing.png")
    assert names(tmp_path / "list.txt") == ["digits/odd/0001.png", "digits/even/0000.png", "missing.png"]


def test_keeps_absolute_paths_of_a_list(tmp_path: Path):
    path = digit_folder(tmp_path / "digits", 1) / "even/0000.png"
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/list.txt").write_text(f"{path}\n../digits/even/0000.png")
    with pytest.raises(SourceError, match="twice"):
        Plan(open_images([str(tmp_path / "lists/list.txt")]).entries(), shard_images=2)
    assert names(tmp_path / "lists/list.txt") == [str(path)] * 2


def test_the_current_folder_is_no_part_of_a_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    digit_folder(tmp_path / "photos [2024]", 2)
    monkeypatch.chdir(tmp_path / "photos [2024]")
    assert names("*/*.png") == ["even/0000.png", "odd/0001.png"]


@pytest.mark.parametrize("pattern", ["*/*.png", "**/*.png"])
def test_reads_a_pattern(tmp_path: Path, pattern: str):
    digit_folder(tmp_path, 3)
    assert sorted(names(tmp_path / pattern)) == ["even/0000.png", "even/0002.png", "odd/0001.png"]


def test_reads_one_image_and_several(tmp_path: Path):
    digit_folder(tmp_path, 2)
    assert names(tmp_path / "even/0000.png") == ["0000.png"]
    assert len(names(tmp_path / "even/0000.png", tmp_path / "odd/0001.png")) == 2


def test_reads_webdataset_archives(tmp_path: Path):
    members = {
        "1.jpg": PNG,
        "1.cls": b"3",
        "1.json": b"{}",
        "2.seg.png": PNG,
        "3": PNG,
        "4.jpeg": b"damaged",
        "._1.jpg": PNG,
    }
    first, second = tar_of(tmp_path / "0.tar", members), tar_of(tmp_path / "1.tar", {"1.jpg": PNG})
    expected = ["0.tar/1.jpg", "0.tar/2.seg.png", "0.tar/3", "0.tar/4.jpeg", "1.tar/1.jpg"]
    assert names(tmp_path) == names(first, second) == names(tmp_path / "?.tar") == expected
    assert read(tmp_path) == [PNG, PNG, PNG, b"damaged", PNG]


@pytest.mark.parametrize("name", ["../evil.jpg", "/evil.jpg", "a/../../evil.jpg"])
def test_rejects_a_tar_with_a_path_outside(tmp_path: Path, name: str):
    tar_of(tmp_path / "a.tar", {"good.jpg": PNG, name: PNG})
    with pytest.raises(SourceError, match="a path outside the archive: expected relative paths"):
        names(tmp_path / "a.tar")


def test_rejects_damaged_and_compressed_archives(tmp_path: Path):
    whole = tar_of(tmp_path / "whole.tar", {"a.jpg": PNG * 50, "b.jpg": PNG * 50}).read_bytes()
    second = len(whole[: whole.index(b"b.jpg")])
    flipped = whole[:second] + b"c" + whole[second + 1 :]
    for content in (*(whole[:length] for length in (300, 1000, second, second + 200, len(whole) // 2)), flipped):
        (tmp_path / "cut.tar").write_bytes(content)
        with pytest.raises(SourceError, match=r"cut\.tar is not an intact"):
            names(tmp_path / "cut.tar")
    tar_of(tmp_path / "zipped.tar", {"a.jpg": PNG}, mode="w:gz")
    with pytest.raises(SourceError, match="uncompressed tar archive"):
        names(tmp_path / "zipped.tar")
    tar_of(tmp_path / "a.tgz", {"a.jpg": PNG}, mode="w:gz")
    with pytest.raises(SourceError, match=r"compressed archive, or its name does not end in \.tar"):
        names(tmp_path / "a.tgz")
    tar_of(tmp_path / "texts.tar", {"a.txt": b"hello"})
    with pytest.raises(SourceError, match="contains no images"):
        names(tmp_path / "texts.tar")


def test_reports_an_archive_that_shrinks(tmp_path: Path):
    path = tar_of(tmp_path / "a.tar", {"a.jpg": PNG})
    source = open_images([str(path)])
    entries = list(source.entries())
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(SourceError, match="has become shorter"):
        list(source.read(entries))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "contains no files"),
        ({"a.tar": b"", "b.jpg": PNG}, "a.tar and files of other kinds"),
    ],
)
def test_rejects_other_folders(tmp_path: Path, content: dict[str, bytes], message: str):
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=message):
        names(tmp_path)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["missing"], "'missing' does not exist: expected a folder"),
        (["*.gif"], "no file matches"),
        (["s3://bucket/images"], "does not exist: expected a folder"),
        (["a.jpg", "folder"], "folder is not a file: with several sources"),
    ],
)
def test_rejects_missing_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[str], message: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.jpg").write_bytes(PNG)
    with pytest.raises(SourceError, match=message):
        open_images(sources)


def test_rejects_a_binary_file_as_a_list(tmp_path: Path):
    (tmp_path / "data.bin").write_bytes(bytes(100))
    with pytest.raises(SourceError, match="is not a list of images"):
        names(tmp_path / "data.bin")


def test_a_column_needs_a_table(tmp_path: Path):
    with pytest.raises(UsageError, match="--column requires Parquet files, found files"):
        open_images([str(digit_folder(tmp_path, 1))], column="image")


class TestTables:
    """Parquet files, written by pyarrow."""

    def write(self, path: Path, columns: dict[str, list[object]], **options: int) -> Path:
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table(columns), path, **options)
        return path

    def test_reads_bytes(self, tmp_path: Path):
        path = self.write(tmp_path / "a.parquet", {"id": [1, 2, 3], "jpg": [PNG, None, b"x"]})
        assert names(path) == ["a.parquet#0", "a.parquet#1", "a.parquet#2"]
        first, second, third = read(path)
        assert (first, third) == (PNG, b"x")
        assert isinstance(second, ImageError)

    def test_reads_paths(self, tmp_path: Path):
        digit_folder(tmp_path, 2)
        path = self.write(tmp_path / "a.parquet", {"path": ["odd/0001.png", "even/0000.png"], "note": ["x", "y"]})
        assert names(path) == ["odd/0001.png", "even/0000.png"]
        assert read(path) == [digit_bytes(1), digit_bytes(0)]

    def test_paths_in_several_tables_are_relative_to_their_table(self, tmp_path: Path):
        for folder in ("a", "b"):
            digit_folder(tmp_path / folder, 1)
            self.write(tmp_path / folder / "t.parquet", {"path": ["even/0000.png"]})
        pattern = tmp_path / "*/t.parquet"
        assert names(pattern) == ["a/even/0000.png", "b/even/0000.png"]
        assert read(pattern) == [digit_bytes(0)] * 2

    def test_reads_images_of_hugging_face(self, tmp_path: Path):
        digit_folder(tmp_path, 2)
        images = [
            {"bytes": PNG, "path": "x.png"},
            {"bytes": None, "path": "odd/0001.png"},
            {"bytes": None, "path": None},
        ]
        path = self.write(tmp_path / "a.parquet", {"image": images, "label": [0, 1, 2]})
        found = read(path)
        assert found[:2] == [PNG, digit_bytes(1)]
        assert isinstance(found[2], ImageError)

    def test_reads_any_row_of_several_groups_and_files(self, tmp_path: Path):
        for file in range(2):
            values = [f"{file}-{row}".encode() for row in range(200)]
            self.write(tmp_path / f"{file}.parquet", {"data": values}, row_group_size=70)
        source = open_images([str(tmp_path)])
        entries = list(source.entries())
        assert len(entries) == 400
        for places in (range(400), range(139, 300), (399, 0, 70, 69)):
            expected = [f"{place // 200}-{place % 200}".encode() for place in places]
            assert list(source.read([entries[place] for place in places])) == expected

    def test_requires_one_column(self, tmp_path: Path):
        path = self.write(tmp_path / "a.parquet", {"left": [PNG], "right": [b"r"], "score": [0.5]})
        with pytest.raises(SourceError, match=r"found several: left, right: choose one with --column"):
            names(path)
        assert read(path, column="right") == [b"r"]
        with pytest.raises(SourceError, match="has no column middle: found left, right, score"):
            names(path, column="middle")
        with pytest.raises(UsageError, match="--column score: expected bytes or paths, found double"):
            names(path, column="score")
        path = self.write(tmp_path / "b.parquet", {"score": [0.5], "caption": ["a cat"]})
        with pytest.raises(SourceError, match="found the columns score, caption"):
            names(path)

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"hello" * 100, b"PAR1" + bytes(100) + b"PAR1"])
    def test_rejects_damaged_files(self, tmp_path: Path, content: bytes):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(SourceError, match="cannot read the Parquet file"):
            names(tmp_path / "a.parquet")

    def test_reports_another_schema(self, tmp_path: Path):
        self.write(tmp_path / "a.parquet", {"image": [PNG]})
        self.write(tmp_path / "b.parquet", {"picture": [PNG]})
        with pytest.raises(SourceError, match=r"b\.parquet has no column image"):
            names(tmp_path)
