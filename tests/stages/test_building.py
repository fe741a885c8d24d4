"""`edgecnn.build`: all steps in one call, and what it leaves behind."""

import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

import edgecnn
from edgecnn.archive.unpacking import unpack
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError, EdgecnnError, OutputExists, UsageError
from edgecnn.runtime.profile import Profile
from edgecnn.stages import building
from edgecnn.stages.building import Built, option_words
from edgecnn.tuning.conclusion import Tuned


@pytest.fixture(scope="module")
def built(checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        out = tmp_path_factory.mktemp("build") / "digits"
        return edgecnn.build(checkpoint_path, "digits", out, max_drop=1, budget_s=3)


@pytest.mark.slow
def test_writes_two_bundles_and_the_archive_of_one(built: Built, tmp_path: Path):
    folder = built.fp32.path.parent
    assert built.fp32 == open_bundle(folder / "digits-fp32")
    assert built.quantized.bundle == open_bundle(folder / "digits-int8")
    chosen = {bundle.digest: bundle for bundle in (built.fp32, built.quantized.bundle)}[built.archive.bundle.digest]
    assert built.tuned.profile.choice.bundle == chosen.digest
    assert built.archive.archive == folder / f"{chosen.path.name}.tar"
    assert unpack(built.archive.archive, tmp_path / "copy").digest == chosen.digest


@pytest.mark.slow
def test_names_the_command_of_each_step(built: Built):
    commands = [step.command.split()[1] for step in built.steps]
    assert commands == ["export", "quantize", "verify", "verify", "tune", "pack"]
    assert all(step.result and step.duration_s >= 0 for step in built.steps)
    assert "--max-drop 1" in built.steps[1].command
    assert repr(built).startswith(f"<Built {built.archive.archive} from <Bundle ")


@pytest.mark.slow
def test_records_commands_without_absolute_paths(built: Built):
    command = built.fp32.manifest.provenance.command
    assert command == "edgecnn export lenet-digits --data digits --out digits-fp32"


@pytest.mark.slow
def test_rejects_an_existing_output(built: Built, checkpoint_path: Path):
    with pytest.raises(OutputExists):
        edgecnn.build(checkpoint_path, "digits", built.fp32.path.parent)


def test_strict_makes_a_warning_of_the_tuning_an_error(committed: Bundle, monkeypatch: pytest.MonkeyPatch):
    tuned = Tuned(cast("Profile", None), (), is_busy=True)
    monkeypatch.setattr(building, "tune", lambda bundles, **options: tuned)
    with pytest.raises(EdgecnnError, match="this machine is busy"):
        building._tuned([committed], strict=True)


@pytest.mark.parametrize(
    ("subject", "arguments", "message"),
    [
        ("net.onnx", {"weights": "w.pth"}, "net.onnx contains its weights: remove --weights"),
        ("w.pth", {}, "w.pth needs its network: add --arch"),
        ("lenet", {"architecture": "lenet"}, "lenet is no weights file: remove --arch"),
    ],
)
def test_rejects_arguments(subject: str, arguments: dict[str, str], message: str, tmp_path: Path):
    with pytest.raises(UsageError, match=message):
        edgecnn.build(subject, "digits", tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_rejects_a_bundle(committed: Bundle, tmp_path: Path):
    with pytest.raises(BundleError, match="is a bundle already"):
        edgecnn.build(committed.path, "digits", tmp_path / "out")


def test_writes_options_as_words():
    options = {"image_size": (24, 40), "crop": (), "widen": True, "transform_input": False, "mean": None, "labels": "l"}
    words = "--image-size 24,40 --crop none --widen --no-transform-input --labels l"
    assert option_words(options) == words.split()


def test_import_stays_light():
    code = "import edgecnn, sys; edgecnn.build, edgecnn.train, edgecnn.export, edgecnn.verify, edgecnn.quantize"
    code += "; print(*{'torch', 'onnx', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
