"""`edgecnn report`."""

import json
from collections.abc import Callable
from pathlib import Path

from repository import COMMITTED


def test_prints_the_bundles_and_the_page(edgecnn: Callable, tmp_path: Path):
    result = edgecnn("report", COMMITTED, "--out", tmp_path / "report.html", "--data", "digits")
    assert result.code == 0, result.err
    first, _, header, row = result.out.splitlines()
    assert first.startswith(f"{tmp_path / 'report.html'}: ")
    assert header.split() == ["bundle", "accuracy", "agreement", "self-tests"]
    assert row.startswith("lenet-digits-int8  ")
    assert "onnxruntime holds" in row
    assert f"edgecnn report {COMMITTED.name}" in (tmp_path / "report.html").read_text()


def test_json_has_the_measurements(edgecnn: Callable, tmp_path: Path):
    result = edgecnn("report", COMMITTED, "--out", tmp_path / "report.html", "--json")
    found = json.loads(result.out)
    assert found["bundles"][0]["name"] == "lenet-digits-int8"
    assert found["answers"] == found["pairs"] == found["records"] == []
    assert found["self_tests"][0]["self_test"]["images"] == 32
    assert found["size_bytes"] < 3e6


def test_refuses_wrong_arguments(edgecnn: Callable, tmp_path: Path):
    out = ("--out", tmp_path / "report.html")
    assert "ends in .html" in edgecnn("report", COMMITTED, "--out", tmp_path / "report.pdf").error
    assert edgecnn("report", COMMITTED).code == 2
    assert edgecnn("report", *out).code == 2
    assert "is inside the bundle" in edgecnn("report", COMMITTED, "--out", COMMITTED / "report.html").error
    assert "unknown data source" in edgecnn("report", COMMITTED, *out, "--data", "digit").error
    assert not (tmp_path / "report.html").exists()
