"""Tests of `edgecnn quantize`: the report, invalid options, and failures while writing."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgecnn.bundle.store import Bundle, open_bundle

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "calibration" / "digits.json"


@pytest.mark.slow
@pytest.mark.usefixtures("idle_machine")
def test_prints_costs_and_gains(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    found = edgecnn(
        "quantize", fp32_bundle.path, "--calibration", RECIPE, "--out", tmp_path / "q", "--analyze", "--seeds", 2
    )
    assert found.code == 0
    assert "float wins" in found.out
    assert "gate: drop +0.00 points" in found.out
    assert "2 calibration sets: agreement" in found.out
    assert "] as fast" in found.out
    conclusion = found.out.splitlines()[-1]
    assert "FP32" in conclusion
    assert "as fast as FP32" in conclusion
    assert "INT8 is 0." in conclusion
    assert conclusion.endswith(" × as large as FP32")
    wins = [layer.float_wins for layer in open_bundle(tmp_path / "q").proof().layers]
    assert wins == sorted(wins, reverse=True)


@pytest.mark.slow
@pytest.mark.usefixtures("idle_machine")
def test_json_contains_the_result(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    command = ("quantize", fp32_bundle.path, "--calibration", RECIPE, "--out", tmp_path / "q", "--seeds", 2, "--json")
    found = json.loads(edgecnn(*command).out)
    assert {seed["seed"] for seed in found["seeds"]} == {0, 1}
    assert found["speed_comparison"]["conclusion"]
    for engine in found["speed_comparison"]["engines"]:
        assert engine["drop"]["low"] <= engine["drop"]["drop"] <= engine["drop"]["high"]
        assert engine["quantized_ms"]["value"] > 0
        assert engine["ratio"]["low"] <= engine["ratio"]["value"] <= engine["ratio"]["high"]
    assert found["speed_comparison"]["ratio"]["value"] > 0
    assert found["speed_comparison"]["is_busy"] is False
    assert found["proof"]["gate"]["after"]["drop"] <= 0.001


@pytest.mark.slow
def test_compares_no_speeds_on_a_busy_machine(edgecnn, fp32_bundle: Bundle, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("edgecnn.tuning.measuring.turn._MOST_HELD_UP", -1.0)  # every turn is disturbed
    command = ("quantize", fp32_bundle.path, "--calibration", RECIPE, "--out", tmp_path / "q", "--json")
    result = edgecnn(*command)
    assert result.code == 0, result.err
    found = json.loads(result.out)["speed_comparison"]
    assert found["is_busy"] is True
    assert found["ratio"] is None
    assert all(engine["ratio"] is engine["fp32_ms"] is None for engine in found["engines"])
    assert found["conclusion"].startswith("this machine is busy: no speed comparison")
    assert open_bundle(tmp_path / "q").manifest.precision == "int8"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (("--max-drop", "-1"), "max_drop must be in 0..100 points"),
        (("--percentile", "20"), "percentile must be above 50"),
        (("--gate-count", "0"), "gate_count must be at least 1"),
        (("--certify",), "certify a drop of"),
        (("--gate-data", "nowhere"), "nowhere"),
    ],
)
def test_rejects_invalid_options(edgecnn, fp32_bundle: Bundle, tmp_path: Path, option, expected: str):
    found = edgecnn("quantize", fp32_bundle.path, "--calibration", RECIPE, "--out", tmp_path / "q", *option)
    assert found.code in (1, 2)
    assert expected in found.error
    assert not (tmp_path / "q").exists()


@pytest.mark.slow
def test_warns_about_full_range_weights(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    options = ("--calibration", "digits", "--out", tmp_path / "q", "--full-range", "--max-drop", "100")
    found = edgecnn("quantize", fp32_bundle.path, *options)
    assert found.code == 0
    assert "warning: the self-test would fail on x86 processors with AVX2 or AVX-512 and no VNNI" in found.err
    assert "predicted for ONNX Runtime's AVX2 kernels" in found.err
    strict = edgecnn("quantize", fp32_bundle.path, *options, "--force", "--strict")
    assert strict.code == 3


@pytest.mark.slow
def test_reports_an_unpredictable_graph(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    options = ("--full-range", "--scheme", "symmetric", "--max-drop", "100")
    found = edgecnn("quantize", fp32_bundle.path, "--calibration", "digits", "--out", tmp_path / "q", *options)
    assert found.code == 0
    assert "cannot be predicted: cannot simulate the saturation of conv1/Conv with signed activations" in found.err


def test_requires_a_training_split(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    (tmp_path / "images" / "test" / "0").mkdir(parents=True)
    found = edgecnn("quantize", fp32_bundle.path, "--calibration", tmp_path / "images", "--out", tmp_path / "q")
    assert found.code in (1, 2)
    assert "train" in found.error
    assert not (tmp_path / "q").exists()


RUN = "from edgecnn.cli.main import main\nmain()"
KILLED = """
import os, signal
real, left = os.fsync, {}
def fsync(descriptor):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)
os.fsync = fsync
"""
FULL = """
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def fill():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
"""
FULL_FROM_THE_START = f"{FULL}\nfill()"
FULL_AFTER_THE_FIRST_FILE = f"{FULL}\nos.fsync = lambda _: fill()"


def again(before: str, parent: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Quantize to an existing `out`, in a separate process."""
    options = ["--calibration", "digits", "--count", "30", "--max-drop", "100", "--force", "--seed", "7"]
    command = ["quantize", str(parent), "--out", str(out), *options]
    code = f"import sys\nsys.argv = ['edgecnn', *{command!r}]\n{before}\n{RUN}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture
def standing(int8_bundle: Bundle, tmp_path: Path) -> Bundle:
    """An intact bundle at the output path."""
    import shutil

    return open_bundle(shutil.copytree(int8_bundle.path, tmp_path / int8_bundle.path.name))


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 3, 5])
def test_killed_run_keeps_the_old_bundle(fp32_bundle: Bundle, standing: Bundle, moment: int):
    killed = again(KILLED.format(moment), fp32_bundle.path, standing.path)
    assert killed.returncode == -signal.SIGKILL
    assert open_bundle(standing.path).digest == standing.digest
    assert len(list(standing.path.parent.iterdir())) == 2, "the unfinished bundle is missing"
    assert again("", fp32_bundle.path, standing.path).returncode == 0
    assert open_bundle(standing.path).digest != standing.digest
    assert [each.name for each in standing.path.parent.iterdir()] == [standing.path.name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("full", "expected"),
    [
        (FULL_FROM_THE_START, "or set TMPDIR to another folder"),
        (FULL_AFTER_THE_FIRST_FILE, "existing files are unchanged"),
    ],
)
def test_full_disk_keeps_the_old_bundle(fp32_bundle: Bundle, standing: Bundle, full: str, expected: str):
    found = again(full, fp32_bundle.path, standing.path)
    assert found.returncode == 1
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert "cannot write" in line
    assert "errno 27" in line
    assert expected in line
    assert open_bundle(standing.path).digest == standing.digest
    assert [each.name for each in standing.path.parent.iterdir()] == [standing.path.name]
