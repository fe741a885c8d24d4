"""Tests of all steps on the command line, and of their errors."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.hints import install_command

RECIPE = Path(__file__).parents[2] / "calibration" / "digits.json"


def test_runs_all_steps(edgecnn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    trained = edgecnn("train", "lenet", "--data", "digits", "--out", "ck", "--epochs", 6, "--json")
    assert trained.code == 0
    assert json.loads(trained.out)["test_top1"] > 0.9
    assert edgecnn("export", "ck", "--out", "fp32").code == 0
    quantized = edgecnn("quantize", "fp32", "--calibration", RECIPE, "--out", "int8", "--json")
    assert quantized.code == 0
    assert json.loads(quantized.out)["precision"] == "int8"
    verified = edgecnn("verify", "int8", "--data", "digits", "--reference", "ck", "--json")
    assert verified.code == 0
    found = json.loads(verified.out)
    assert found["holds"]
    assert found["comparison"]["images"] == 385
    assert found["bundle"] == open_bundle("int8").digest
    from PIL import Image

    Image.fromarray(open_bundle("int8").self_test().images[0, :, :, 0]).save("digit.png")
    predicted = edgecnn("predict", "int8", "digit.png", "--json")
    answer = predicted.json_lines[0]
    assert answer["label"] == str(open_bundle("int8").self_test().logits[0].argmax())
    assert sum(entry["probability"] for entry in answer["top"]) <= 1 + 1e-9


@pytest.mark.slow
def test_records_the_command_without_absolute_paths(edgecnn, checkpoint_path: Path, tmp_path: Path):
    out = tmp_path / "somewhere" / "lenet"
    assert edgecnn("export", checkpoint_path, f"--out={out}").code == 0
    assert open_bundle(out).manifest.provenance.command == "edgecnn export lenet-digits --out=lenet"
    assert str(tmp_path) not in (out / "manifest.json").read_text()


@pytest.mark.parametrize("command", ["train", "export", "quantize", "verify", "predict"])
def test_every_command_has_help(edgecnn, command: str):
    result = edgecnn(command, "--help")
    assert result.code == 0
    assert "Usage: edgecnn" in result.out


def test_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "edgecnn", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("edgecnn, version 0.")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["train", "resnet1", "--data", "digits", "--out", "x"], 2, "choose lenet"),
        (["train", "lenet", "--data", "nowhere", "--out", "x"], 1, "cifar10, an existing image folder"),
        (["train", "lenet", "--data", "digits", "--out", "x", "--epochs", "0"], 2, "epochs must be positive"),
        (["export", "nowhere", "--out", "x"], 1, "edgecnn train"),
        (["quantize", "nowhere", "--calibration", "digits", "--out", "x"], 1, "not a bundle"),
        (["train", "lenet", "--data", "", "--out", "x"], 2, "the data source is empty"),
        (["train", "lenet", "--data", "digits", "--out", "x", "--seed", "-1"], 2, "seed must be"),
        (["train", "lenet", "--data", "digits", "--out", "x", "--zoom", "nan"], 2, "zoom must"),
        (["verify", "nowhere"], 1, "not a bundle"),
        (["predict", "nowhere", "a.png"], 1, "not a bundle"),
    ],
)
def test_reports_mistakes_on_one_line(
    edgecnn, arguments: list[str], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    result = edgecnn(*arguments)
    assert result.code == code
    assert says in result.error
    assert result.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_replaces_an_output_only_with_force(edgecnn, checkpoint_path: Path, tmp_path: Path):
    assert edgecnn("export", checkpoint_path, "--out", tmp_path / "b").code == 0
    first = open_bundle(tmp_path / "b").digest
    refused = edgecnn("export", checkpoint_path, "--out", tmp_path / "b")
    assert (refused.code, "--force" in refused.error) == (2, True)
    assert open_bundle(tmp_path / "b").digest == first
    assert edgecnn("export", checkpoint_path, "--out", tmp_path / "b", "--force").code == 0


def test_rejects_calibration_on_the_test_split(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    recipe = json.loads(RECIPE.read_text()) | {"split": "test"}
    (tmp_path / "r.json").write_text(json.dumps(recipe))
    result = edgecnn("quantize", fp32_bundle.path, "--calibration", tmp_path / "r.json", "--out", tmp_path / "x")
    assert (result.code, "calibration must not use test images" in result.error) == (2, True)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_strict_turns_warnings_into_errors(edgecnn, fp32_bundle: Bundle, tmp_path: Path):
    command = ["quantize", fp32_bundle.path, "--calibration", RECIPE, "--full-range", "--out"]
    loose = edgecnn(*command, tmp_path / "loose")
    strict = edgecnn(*command, tmp_path / "strict", "--strict")
    assert loose.code == 0
    assert (strict.code == 0) == ("warning: " not in loose.err)


def test_rejects_a_corrupt_checkpoint(edgecnn, checkpoint_path: Path, tmp_path: Path):
    copy = Path(shutil.copytree(checkpoint_path, tmp_path / "ck"))
    (copy / "model.safetensors").write_bytes(b"\xff" * 100)
    result = edgecnn("export", copy, "--out", tmp_path / "x")
    assert (result.code, "model.safetensors" in result.error) == (1, True)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_exits_with_3_if_the_export_differs(
    edgecnn, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from networks import Liar

    from edgecnn.pipeline.models import registry

    monkeypatch.setitem(registry._REGISTRY, "lenet", registry.Architecture("lenet", lambda _: Liar(), 32, 32))
    result = edgecnn("export", checkpoint_path, "--out", tmp_path / "x")
    assert (result.code, "differs from the reference" in result.error) == (3, True)
    assert not (tmp_path / "x").exists()


def test_exits_with_130_on_an_interrupt(
    edgecnn, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import edgecnn.pipeline.export.exporting as module

    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "read_checkpoint", interrupt)
    result = edgecnn("export", checkpoint_path, "--out", tmp_path / "x")
    assert result.code == 130
    assert result.err.strip() == "interrupted"


def test_reports_a_missing_extra(tmp_path: Path):
    """`None` in `sys.modules` makes `import torch` fail, as on a device."""
    script = "import sys; sys.modules['torch'] = None; from edgecnn.cli.main import main; main()"
    arguments = ["train", "lenet", "--data", "digits", "--out", str(tmp_path / "x")]
    result = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert (result.returncode, install_command("pipeline") in result.stderr) == (1, True)


def test_survives_a_closed_pipe():
    bundle = Path(__file__).parents[2] / "exported" / "lenet-digits-int8"
    command = f"{sys.executable} -m edgecnn verify {bundle} --json | true"
    env = os.environ | {"XDG_STATE_HOME": os.devnull}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=env)
    assert "Traceback" not in done.stderr
