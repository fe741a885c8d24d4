"""Checks of output files before long work."""

from pathlib import Path

import pytest

from edgecnn.errors import EdgecnnError
from edgecnn.files.file import check_writable


def test_accepts_a_new_file_and_creates_nothing(tmp_path: Path):
    check_writable(tmp_path / "new" / "folder" / "file.png")
    assert list(tmp_path.iterdir()) == []


def test_accepts_an_existing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("file.png").write_text("kept")
    check_writable(Path("file.png"))
    assert Path("file.png").read_text() == "kept"


@pytest.mark.parametrize("name", ["folder.png", "file/x.png", "nowhere/../file/x.png", "/proc/x.png"])
def test_rejects_what_cannot_be_written(tmp_path: Path, name: str):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgecnnError, match=r"^cannot write .*; choose another file$"):
        check_writable(tmp_path / name)
