"""Tests of listing files."""

import os
from pathlib import Path

import pytest

from edgecnn.errors import SourceError
from edgecnn.files.listing import files_in, listed_in, matching, subfolders, walk


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b/2", "b/10", "a.jpg", "a/x", ".hidden/x", "__MACOSX/x", "b/.x", "b/Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_lists_visible_files_sorted_by_their_parts(tree: Path):
    assert [str(path.relative_to(tree)) for path in files_in(tree)] == ["a/x", "a.jpg", "b/10", "b/2"]
    assert sorted(walk(tree)) == files_in(tree)
    assert [path.name for path in subfolders(tree)] == ["a", "b"]


def test_passes_over_links_to_a_folder_above(tree: Path):
    (tree / "b/up").symlink_to("..")
    (tree / "b/self").symlink_to(".")
    (tree / "link").symlink_to(tree / "a")
    (tree / "broken").symlink_to("missing")
    assert [path.name for path in files_in(tree)] == ["x", "a.jpg", "10", "2", "broken", "x"]


def test_reports_a_folder_that_is_missing(tmp_path: Path):
    for list_files in (files_in, subfolders):
        with pytest.raises(SourceError, match=r"cannot read the folder .*missing: No such file or directory"):
            list_files(tmp_path / "missing")


def test_matches_files_only(tree: Path):
    assert [path.name for path in matching(str(tree / "*"), Path())] == ["a.jpg"]
    assert [path.name for path in matching("**/[0-9]*", tree)] == ["10", "2"]


def test_reads_a_list_with_any_line_ends_and_bytes(tmp_path: Path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfone.jpg\r\n\r\n  two words.jpg \ncaf\xe9.jpg\n/abs.jpg")
    assert list(listed_in(tmp_path / "list.txt")) == [
        (1, tmp_path / "one.jpg"),
        (3, tmp_path / "two words.jpg"),
        (4, tmp_path / os.fsdecode(b"caf\xe9.jpg")),
        (5, Path("/abs.jpg")),
    ]


def test_rejects_a_list_that_is_not_text(tmp_path: Path):
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\0\0")
    with pytest.raises(SourceError, match=r"image\.png is not a list of images"):
        list(listed_in(tmp_path / "image.png"))
    with pytest.raises(SourceError, match=r"cannot read .*missing"):
        list(listed_in(tmp_path / "missing"))
