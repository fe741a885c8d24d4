"""Tests of `edgecnn predict` with folders, patterns, lists and its forms of output."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from batch_sources import digit_bytes, digit_folder

from edgecnn.bundle.store import Bundle


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    return digit_folder(tmp_path / "digits", 6)


def images_in(text: str) -> list[str]:
    return [line.partition(": ")[0] for line in text.splitlines()]


def test_classifies_folders_and_patterns(edgecnn, committed: Bundle, digits: Path):
    folder = edgecnn("predict", committed.path, digits, "--top", 1)
    assert (folder.code, folder.err) == (0, "")
    assert images_in(folder.out) == [str(path) for path in sorted(digits.rglob("*.png"))]
    pattern = edgecnn("predict", committed.path, digits / "*/000[01].png", "--top", 1)
    assert images_in(pattern.out) == [str(digits / "even/0000.png"), str(digits / "odd/0001.png")]


def test_classifies_a_list_on_stdin(edgecnn, committed: Bundle, digits: Path, monkeypatch: pytest.MonkeyPatch):
    listed = f"{digits}/odd/0001.png\r\n\n{digits}/even/0000.png".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    result = edgecnn("predict", committed.path, "-", "--top", 1)
    assert images_in(result.out) == [f"{digits}/odd/0001.png", f"{digits}/even/0000.png"]


def test_leaves_out_other_files_in_a_folder(edgecnn, committed: Bundle, digits: Path):
    (digits / "labels.csv").write_text("a,b")
    result = edgecnn("predict", committed.path, digits)
    assert result.code == 0
    assert result.err == f"warning: 1 file left out, not images: {digits / 'labels.csv'}\n"
    strict = edgecnn("predict", committed.path, digits, "--strict")
    assert strict.code == 1
    named = edgecnn("predict", committed.path, digits / "labels.csv")
    assert named.code == 1


def test_counts_and_names_bad_images(edgecnn, committed: Bundle, digits: Path):
    (digits / "even/0002.png").write_bytes(digit_bytes(0)[:50])
    result = edgecnn("predict", committed.path, digits)
    assert result.code == 1
    assert len(result.out.splitlines()) == 5
    first, second = result.err.splitlines()
    assert str(digits / "even/0002.png") in first
    assert second == "error: cannot read 1 of 6 images: see the errors above"
    assert edgecnn("predict", committed.path, digits, "--skip-bad").code == 0


def test_json_has_a_line_for_each_image(edgecnn, committed: Bundle, digits: Path):
    (digits / "even/0002.png").write_bytes(b"")
    result = edgecnn("predict", committed.path, digits, "--json", "--skip-bad", "--engine", "openvino")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [line["image"] for line in lines] == [str(path) for path in sorted(digits.rglob("*.png"))]
    assert [line["image"] for line in lines if "error" in line] == [str(digits / "even/0002.png")]
    assert {line["digest"] for line in lines if "error" not in line} == {committed.digest}
    assert {line["engine"] for line in lines if "error" not in line} == {"openvino"}


def test_csv_is_a_table_of_all_images(edgecnn, committed: Bundle, digits: Path, tmp_path: Path):
    (digits / "even/0002.png").write_bytes(b"")
    result = edgecnn("predict", committed.path, digits, "--csv", tmp_path / "out.csv", "--skip-bad", "--top", 2)
    assert result.out == f"6 images: {tmp_path / 'out.csv'}\n"
    with (tmp_path / "out.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["image"] for row in found] == [str(path) for path in sorted(digits.rglob("*.png"))]
    assert [bool(row["error"]) for row in found] == [False, True, False, False, False, False]
    both = edgecnn("predict", committed.path, digits, "--csv", tmp_path / "b.csv", "--json", "--skip-bad", "--top", 2)
    assert len(both.json_lines) == 6
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    assert found[0]["top"].startswith(f"{found[0]['label']}=")
    assert 0 < float(found[0]["probability"]) <= 1


def test_a_terminal_shows_a_table(edgecnn, committed: Bundle, digits: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("edgecnn.cli.predict_output._is_terminal", lambda: True)
    monkeypatch.chdir(digits)
    result = edgecnn("predict", committed.path, ".")
    header, *lines = result.out.splitlines()
    assert header.split() == ["image", "label", "probability", "next"]
    assert len(lines) == 6
    assert all(len(line) <= 80 for line in result.out.splitlines())
    assert edgecnn("predict", committed.path, "even/0000.png").out.startswith("even/0000.png: ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["empty"], 1, "empty contains no files: expected images"),
        (["*.jpg"], 1, "no file matches '*.jpg'"),
        (["-", "-"], 2, "- is given twice"),
        (["digits", "--csv", "out.txt"], 2, "--csv out.txt: expected a name that ends in .csv"),
        (["digits", "--csv", "missing/out.csv", "--skip-bad"], 0, ""),
    ],
)
def test_rejects_bad_arguments(
    edgecnn,
    committed: Bundle,
    digits: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
):
    monkeypatch.chdir(digits.parent)
    Path("empty").mkdir()
    result = edgecnn("predict", committed.path, *arguments)
    assert result.code == code, result.err
    assert message in result.err


def test_an_empty_list_on_stdin_is_an_error(edgecnn, committed: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert "stdin is empty: expected one path per line" in edgecnn("predict", committed.path, "-").error
