"""The output files of `benchmarks/common/results.py`."""

import json
from pathlib import Path

import pytest
from repository import REPOSITORY

from benchmarks.common.results import command_line, origin, output
from benchmarks.common.tables import where


def test_git_ignores_data_but_not_pages():
    found = output("serving")
    assert found.data == REPOSITORY / "build" / "benchmarks" / "serving.json"
    assert found.page == REPOSITORY / "benchmarks" / "results" / "serving.md"


def test_writes_both_files_into_the_given_folder(tmp_path: Path):
    folder = command_line("What it does.").parse_args(["--out", str(tmp_path / "new")]).out
    found = output("it", folder)
    assert found.read() == {}
    found.write({"rows": ["µ"]}, "# It\n")
    assert json.loads((folder / "it.json").read_text()) == found.read() == {"rows": ["µ"]}
    assert (folder / "it.md").read_text() == "# It\n"


def test_help_shows_the_description_as_written(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        command_line("One.\n\n    python -m it").parse_args(["--help"])
    assert "One.\n\n    python -m it" in capsys.readouterr().out


def test_writes_the_origin_in_one_line():
    assert where(origin() | {"versions": {"numpy": "2.4"}}).endswith("cores; numpy 2.4")


def test_only_pages_are_committed():
    assert {file.suffix for file in (REPOSITORY / "benchmarks" / "results").iterdir()} == {".md"}
