"""An installation on a device: the wheel, one engine, no pipeline, at most 200 MiB, and it works.

The environment is assembled from the wheel and the packages installed on this machine, so the test needs no network.
`benchmarks/devices/footprint.py` measures the same installation, and its times, with pip.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from device import OnADevice
from packaging.requirements import Requirement

from benchmarks.common.served_once import served

REPOSITORY = Path(__file__).parent.parent
BUNDLE = REPOSITORY / "exported" / "lenet-digits-int8"
DIGIT = REPOSITORY / "calibration/digits-sample/train/7/1.png"
MIB = 2**20
SERVED_MB = 150


def needed(package: str, extras: set[str]) -> dict[str, Distribution]:
    """Return the distributions that pip would install for a package, without the package itself."""
    found: dict[str, Distribution] = {}
    waiting = [(package, extras)]
    while waiting:
        name, wanted = waiting.pop()
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in wanted | {""})
            if applies and requirement.name not in found:
                found[requirement.name] = distribution(requirement.name)
                waiting.append((requirement.name, requirement.extras))
    return found


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment with edgecnn[onnxruntime,serve] only."""
    folder = tmp_path_factory.mktemp("device")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    venv.create(folder / "env", with_pip=False, symlinks=True)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for dist in needed("edgecnn", {"onnxruntime", "serve"}).values():
        for file in dist.files or ():
            if ".." not in file.parts and file.suffix != ".pyc" and Path(file.locate()).is_file():
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), site / file)
    return folder / "env" / "bin" / "python"


def run(device: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(device), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=clean(cwd),
    )


def clean(cwd: Path) -> dict[str, str]:
    """Return an environment without references to this checkout."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | {
        "XDG_STATE_HOME": str(cwd)
    }


def test_device_packages_take_at_most_200_mib(device: Path):
    (site,) = device.parent.parent.glob("lib/python*/site-packages")
    total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert total <= 200 * MIB, f"{total / MIB:.0f} MiB"


def test_device_has_no_pipeline_packages(device: Path, tmp_path: Path):
    for package in ("torch", "onnx", "sklearn", "openvino"):
        assert run(device, "-c", f"import {package}", cwd=tmp_path).returncode == 1


def test_packs_and_installs_the_committed_bundle(device: Path, tmp_path: Path):
    for arguments in (
        ("pack", str(BUNDLE), "--out", "digits.tar"),
        ("install", "digits.tar", "--to", "site"),
        ("verify", "site/current"),
    ):
        done = run(device, "-m", "edgecnn", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_verifies_the_committed_bundle(device: Path, tmp_path: Path):
    done = run(device, "-m", "edgecnn", "verify", str(BUNDLE), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["holds"] is True


def test_doctor_checks_the_installed_engine(device: Path, tmp_path: Path):
    done = run(device, "-m", "edgecnn", "doctor", "--json", cwd=tmp_path)
    ours, theirs = json.loads(done.stdout)["engines"]
    assert (ours["engine"], ours["problem"]) == ("onnxruntime", None)
    assert theirs["problem"] == "not installed: pip install 'edgecnn[openvino]'"


@pytest.mark.slow
def test_tunes_a_bundle_and_uses_its_profile(device: Path, tmp_path: Path):
    measured = run(
        device, "-m", "edgecnn", "benchmark", str(BUNDLE), "--rounds", "4", "--turn", "0.02", "--json", cwd=tmp_path
    )
    assert measured.returncode == 0, measured.stderr
    assert [each["setting"]["engine"] for each in json.loads(measured.stdout)["results"]] == ["onnxruntime"]
    tuned = run(device, "-m", "edgecnn", "tune", str(BUNDLE.parent), "--budget", "1", "--json", cwd=tmp_path)
    assert tuned.returncode == 0, tuned.stderr
    profile = json.loads(tuned.stdout)["profile"]
    assert profile["site"]["engines"].keys() == {"onnxruntime"}
    assert "PyTorch" not in profile["conclusion"]
    answer = run(device, "-m", "edgecnn", "predict", str(BUNDLE.parent), str(DIGIT), "--json", cwd=tmp_path)
    assert json.loads(answer.stdout)["threads"] == profile["choice"]["setting"]["threads"]
    plot = run(device, "-m", "edgecnn", "benchmark", str(BUNDLE), "--plot", str(tmp_path / "b.png"), cwd=tmp_path)
    assert plot.returncode == 1
    assert "pip install 'edgecnn[pipeline]'" in plot.stderr


def test_verifies_an_image_folder_with_recorded_logits(device: Path, on_a_device: OnADevice, tmp_path: Path):
    data = ["--data", str(on_a_device.folder), "--reference", str(on_a_device.reference)]
    done = run(device, "-m", "edgecnn", "verify", str(BUNDLE), *data, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agreement"]["flips"][0]["image"] == "test/0/0007.png"


def test_predicts_without_torch_and_onnx(device: Path, tmp_path: Path):
    code = (
        f"import edgecnn, sys\nc = edgecnn.load({str(BUNDLE)!r})\n"
        "print(c.predict(c.bundle.self_test().encoded[0].content).label)\n"
        "print(sorted({'torch', 'onnx', 'onnxscript', 'sklearn'} & set(sys.modules)))"
    )
    done = run(device, "-c", code, cwd=tmp_path)
    assert re.fullmatch(r"\d\n\[\]\n", done.stdout), done.stderr


def test_predicts_from_the_command_line(device: Path, tmp_path: Path):
    done = run(device, "-m", "edgecnn", "predict", str(BUNDLE), str(DIGIT), "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["label"] == "7", done.stderr


def test_serves_in_little_memory(device: Path, tmp_path: Path):
    command = [str(device), "-m", "edgecnn", "serve", str(BUNDLE), "--port", "0"]
    found = served(command, clean(tmp_path), model=BUNDLE.name, image=DIGIT)
    assert (found.label, found.exit_code) == ("7", 0)
    assert found.resident_mb <= SERVED_MB


def test_wheel_contains_the_web_page(device: Path):
    (site,) = device.parent.parent.glob("lib/python*/site-packages")
    page = Path("edgecnn", "server", "web")
    ours = [file for file in (REPOSITORY / page).rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert REPOSITORY / page / "static" / "app.js" in ours
    for file in ours:
        assert (site / file.relative_to(REPOSITORY)).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "command",
    [
        ["train", "lenet", "--data", "digits", "--out", "x"],
        ["export", "checkpoint", "--out", "y"],
        ["quantize", str(BUNDLE), "--calibration", "digits", "--out", "y"],
    ],
)
def test_workstation_command_names_the_missing_extra(device: Path, tmp_path: Path, command: list[str]):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "checkpoint.json").touch()
    done = run(device, "-m", "edgecnn", *command, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'edgecnn[pipeline]'" in done.stderr


def test_grpc_needs_its_extra(device: Path, tmp_path: Path):
    done = run(device, "-m", "edgecnn", "serve", str(BUNDLE), "--port", "0", "--grpc-port", "0", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: this command needs grpc, which is not installed: pip install 'edgecnn[grpc]'\n"
    (site,) = device.parent.parent.glob("lib/python*/site-packages")
    folder = Path("edgecnn", "protocol", "grpc")
    for file in ("open_inference.proto", "open_inference.binpb"):
        assert (site / folder / file).read_bytes() == (REPOSITORY / folder / file).read_bytes()


def test_remote_prediction_names_the_missing_extra(device: Path, tmp_path: Path):
    done = run(device, "-m", "edgecnn", "predict", "--url", "http://127.0.0.1:1", "digit.png", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: this command needs urllib3, which is not installed: pip install 'edgecnn[client]'\n"


def test_missing_engine_names_the_extra(device: Path, tmp_path: Path):
    done = run(device, "-m", "edgecnn", "verify", str(BUNDLE), "--engine", "openvino", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: the engine openvino is not installed: pip install 'edgecnn[openvino]'\n"
