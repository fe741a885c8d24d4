"""Tests of `edgecnn learn`: output and exit codes."""

import json
from pathlib import Path


def test_prints_the_index(edgecnn, tmp_path: Path):
    result = edgecnn("learn", "--out", tmp_path / "site")
    assert result.code == 0
    assert result.out.splitlines()[0] == str(tmp_path / "site" / "index.html")
    again = edgecnn("learn", "--out", tmp_path / "site")
    assert again.code == 2
    assert "exists already" in again.error


def test_json_contains_the_pages(edgecnn, tmp_path: Path):
    found = json.loads(edgecnn("learn", "--out", tmp_path / "site", "--lang", "zh", "--json").out)
    assert found["index"] == found["pages"][0] == str(tmp_path / "site" / "index.html")
    assert all(Path(path).is_file() for path in found["pages"])
    assert 'data-language="zh"' in Path(found["index"]).read_text(encoding="utf-8")


def test_rejects_another_language(edgecnn, tmp_path: Path):
    result = edgecnn("learn", "--out", tmp_path / "site", "--lang", "fr")
    assert result.code == 2
    assert not (tmp_path / "site").exists()
