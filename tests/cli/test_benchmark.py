"""Tests of `edgecnn benchmark`: tables, files and comparisons."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from repository import COMMITTED

QUICK = ("--rounds", "4", "--turn", "0.02")
STEADY = (*QUICK, "--rounds", "12")  # the median is robust against a few disturbed rounds
ORT = ("--engine", "onnxruntime")


@pytest.fixture
def known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the measurement of the peak, which takes seconds."""
    monkeypatch.setattr("edgecnn.tuning.benchmark.peak_apart", lambda precision, threads: 1e12)


@pytest.mark.slow
def test_prints_all_engines_and_the_reference(edgecnn: Callable):
    result = edgecnn("benchmark", COMMITTED, *QUICK, "--threads", "1")
    assert result.code == 0, result.err
    for engine in ("onnxruntime", "openvino", "pytorch"):
        assert any(f"  {engine}, 1 thread" in line for line in result.out.splitlines())
    assert "measured peak: " in result.out
    assert "MiB" in result.out


@pytest.mark.usefixtures("known_peak")
def test_combines_repeated_options(edgecnn: Callable, tmp_path: Path):
    result = edgecnn(
        "benchmark", COMMITTED, *QUICK, *ORT, "--threads", "1", "--batch", "1", "--batch", "4", "--instances", "1",
        "--instances", "2", "--csv", tmp_path / "b.csv", "--plot", tmp_path / "b.png", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    found = json.loads(result.out)["results"]
    combinations = {(each["setting"]["batch"], each["setting"]["instances"]) for each in found}
    assert combinations == {(1, 1), (1, 2), (4, 1), (4, 2)}
    with (tmp_path / "b.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["p50_ms"]) for row in rows] == [each["speed"]["p50_ms"]["value"] for each in found]
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000


@pytest.fixture
def old(edgecnn: Callable, known_peak: None, tmp_path: Path) -> Callable[[float], Path]:
    """Run a benchmark and return a function that writes its record with scaled times."""
    record = json.loads(edgecnn("benchmark", COMMITTED, *STEADY, *ORT, "--json").out)

    def write(factor: float) -> Path:
        changed = json.loads(json.dumps(record))
        for each in changed["results"]:
            each["speed"]["turns_ms"] = [time * factor for time in each["speed"]["turns_ms"]]
        path = tmp_path / f"old-{factor}.json"
        path.write_text(json.dumps(changed))
        return path

    return write


@pytest.mark.slow
@pytest.mark.usefixtures("idle_machine")
def test_exits_with_3_if_slower(edgecnn: Callable, old: Callable[[float], Path], tmp_path: Path):
    slower = edgecnn("benchmark", COMMITTED, *STEADY, *ORT, "--compare", old(0.05))
    assert slower.code == 3
    assert "1 of 1 results are slower" in slower.error
    assert "slower" in slower.out
    faster = edgecnn("benchmark", COMMITTED, *STEADY, *ORT, "--compare", old(20), "--json")
    assert faster.code == 0, faster.err
    assert json.loads(faster.out)["comparison"]["changes"][0]["verdict"] == "faster"
    (tmp_path / "next.json").write_text(faster.out)  # this output is the record of the next comparison
    assert edgecnn("benchmark", COMMITTED, *QUICK, *ORT, "--compare", tmp_path / "next.json").code in (0, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("known_peak")
def test_a_busy_machine_gives_no_verdict(edgecnn: Callable, old: Callable[[float], Path], monkeypatch):
    monkeypatch.setattr("edgecnn.tuning.measuring.turn._MOST_HELD_UP", -1.0)  # every turn is disturbed
    found = edgecnn("benchmark", COMMITTED, *QUICK, *ORT, "--compare", old(0.05))
    assert found.code == 0
    assert "warning: this machine is busy" in found.err
    assert "unknown" in found.out
    assert "as fast" not in found.out


def test_rejects_a_malformed_record(edgecnn: Callable, tmp_path: Path):
    (tmp_path / "old.json").write_text("{}")
    for name in ("old.json", "nowhere.json"):
        result = edgecnn("benchmark", COMMITTED, "--compare", tmp_path / name)
        assert result.code == 1
        assert name in result.error


MISTAKES = {
    "unknown engine": (("--engine", "tflite"), 2, "unknown engine 'tflite'"),
    "plot not PNG": (("--plot", "b.jpg"), 2, "expected a name that ends in .png"),
    "table not CSV": (("--csv", "b.xls"), 2, "expected a name that ends in .csv"),
    "sustained for no time": (("--sustained", "0"), 2, "invalid value for '--sustained'"),
    "sustained on two engines": (("--sustained", "1"), 2, "choose --engine onnxruntime or --engine openvino"),
    "sustained with two settings": (("--sustained", "1", *ORT, "--batch", "1", "--batch", "2"), 2, "2 × --batch"),
    "sustained with a table": (("--sustained", "1", *ORT, "--csv", "b.csv"), 2, "omit --compare, --csv and --plot"),
    "sustained on two bundles": ((COMMITTED, "--sustained", "1", *ORT), 2, "--sustained runs one bundle, found 2"),
    "file inside the bundle": (("--csv", COMMITTED / "b.csv"), 2, "is sealed"),
}


@pytest.mark.parametrize(("options", "code", "message"), MISTAKES.values(), ids=MISTAKES)
def test_rejects_invalid_options(edgecnn: Callable, options: tuple, code: int, message: str):
    result = edgecnn("benchmark", COMMITTED, *options)
    assert result.code == code
    assert message in result.error


@pytest.mark.slow
def test_runs_for_minutes(edgecnn: Callable):
    result = edgecnn("benchmark", COMMITTED, "--sustained", "0.1", *ORT, "--threads", "1", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["is_complete"]
    assert found["setting"] == {**found["setting"], "engine": "onnxruntime", "threads": 1}
    assert all(second["run_ms"] > 0 for second in found["seconds"])
    assert found["first_ms"] == found["seconds"][0]["run_ms"]


def test_an_interrupted_sustained_run_prints_its_result(edgecnn: Callable, monkeypatch: pytest.MonkeyPatch):
    def interrupt(second: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecnn.tuning.sustained._note", interrupt)
    result = edgecnn("benchmark", COMMITTED, "--sustained", "5", *ORT)
    assert result.code == 0, result.err
    assert "first second" in result.out
    assert "of 300 s" in result.out


@pytest.mark.slow
def test_reports_an_unavailable_precision(edgecnn: Callable):
    result = edgecnn("benchmark", COMMITTED, *QUICK, *ORT, "--precision", "bf16")
    assert result.code == 1
    assert "does not run on onnxruntime, bf16" in result.err
    assert "no requested setting runs here" in result.error
