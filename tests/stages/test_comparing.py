"""`edgecnn.compare_networks`: refusals, and small runs that are kept and continued."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import edgecnn
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import EdgecnnError, OutputExists, UsageError
from edgecnn.files.schema import dump
from edgecnn.stages.comparing import ComparedNetworks
from edgecnn.stages.comparison_folder import FORMAT, PLAN, Plan, comparison_folder

QUICK = {"rounds": 4, "turn_s": 0.02}
WHERE = Plan(FORMAT, "digits", "a" * 64, "b" * 64, 1, None)

FACTORY = """
from torch import nn

def small(num_classes=10, in_channels=1):
    layers = [nn.Conv2d(in_channels, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, num_classes))

def broken(num_classes=10):
    raise ValueError("this network is broken")
"""


@pytest.mark.parametrize(
    ("networks", "options", "message"),
    [
        ([], {}, "at least one network"),
        (["lenet", "lenet"], {}, "lenet is named twice"),
        (["lenet", "lennet"], {}, "unknown architecture 'lennet'"),
        (["lenet"], {"precisions": ["int4"]}, "unknown precision 'int4'"),
        (["lenet"], {"precisions": []}, "at least one precision"),
        (["lenet"], {"engines": ["tensorrt"]}, "unknown engine 'tensorrt'"),
    ],
)
def test_refuses_before_training(networks: list[str], options: dict, message: str, tmp_path: Path):
    with pytest.raises(UsageError, match=message):
        edgecnn.compare_networks(networks, "digits", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_refuses_other_options(tmp_path: Path):
    with comparison_folder(tmp_path / "out", WHERE, force=False):
        pass
    with comparison_folder(tmp_path / "out", WHERE, force=False):
        pass
    for other, change in [
        (dataclasses.replace(WHERE, epochs=2), "epochs 1 → 2"),
        (dataclasses.replace(WHERE, seed=7), "seed None → 7"),
        (dataclasses.replace(WHERE, data="pets"), "data digits → pets"),
        (dataclasses.replace(WHERE, test_digest="c" * 64), "test_digest"),
    ]:
        with pytest.raises(UsageError, match=change), comparison_folder(tmp_path / "out", other, force=False):
            pass


def test_force_discards_an_earlier_comparison(tmp_path: Path):
    with comparison_folder(tmp_path / "out", WHERE, force=False):
        (tmp_path / "out" / "index.html").write_text("old")
    with comparison_folder(tmp_path / "out", dataclasses.replace(WHERE, epochs=2), force=True):
        assert [path.name for path in (tmp_path / "out").iterdir()] == [PLAN]


def test_refuses_a_folder_of_something_else(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with comparison_folder(tmp_path / "empty", WHERE, force=False):
        assert (tmp_path / "empty" / PLAN).read_text() == dump(WHERE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    for force in (False, True):
        with pytest.raises(OutputExists), comparison_folder(tmp_path / "mine", WHERE, force=force):
            pass
    (tmp_path / "empty" / PLAN).write_text("{}")
    with (
        pytest.raises(OutputExists, match="is not the plan"),
        comparison_folder(tmp_path / "empty", WHERE, force=False),
    ):
        pass


def test_refuses_a_folder_that_is_in_use(tmp_path: Path):
    with (
        comparison_folder(tmp_path / "out", WHERE, force=False),
        pytest.raises(UsageError, match="in use by another process"),
        comparison_folder(tmp_path / "out", WHERE, force=False),
    ):
        pass


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> ComparedNetworks:
    """Return a comparison in which one of three networks fails."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "net.py").write_text(FACTORY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        return edgecnn.compare_networks(
            ["lenet", f"{folder}/net.py:broken", f"{folder}/net.py:small"], "digits", folder / "out", epochs=1, **QUICK
        )


@pytest.mark.slow
def test_names_the_network_that_fails_and_goes_on(compared: ComparedNetworks):
    (failure,) = compared.content.failures
    assert failure.step == "train"
    assert "broken" in failure.reason
    assert [each.name.rpartition(":")[2] for each in compared.content.networks] == ["lenet", "small"]
    with pytest.raises(EdgecnnError, match=r"some steps failed: .*broken"):
        compared.raise_for_failures()
    assert "this network is broken" in (compared.folder / "index.html").read_text()


@pytest.mark.slow
def test_writes_a_page_and_tables(compared: ComparedNetworks):
    assert (compared.folder / "index.html").stat().st_size < 3e6
    assert len((compared.folder / "table.md").read_text().splitlines()) == 2 + 4
    engines = len(compared.content.engines)
    assert len((compared.folder / "table.csv").read_text().splitlines()) == 1 + 4 * engines
    assert [each.metrics.top1.images for each in compared.content.variants] == [385] * 4
    assert any(each.on_front for each in compared.content.candidates)
    assert "net.py:small" in compared._repr_html_()


@pytest.mark.slow
def test_keeps_finished_networks(compared: ComparedNetworks, tmp_path: Path):
    before = {path: path.stat().st_mtime_ns for path in compared.folder.glob("lenet*/*")}
    epochs: list[str] = []
    again = edgecnn.compare_networks(
        ["lenet"],
        "digits",
        compared.folder,
        epochs=1,
        precisions=["fp32", "int8"],
        on_epoch=lambda network, *figures: epochs.append(network),
        **QUICK,
    )
    assert epochs == []
    assert {path: path.stat().st_mtime_ns for path in compared.folder.glob("lenet*/*")} == before
    assert [each.precision for each in again.content.variants] == ["fp32", "int8"]
    with pytest.raises(UsageError, match="epochs 1 → 2"):
        edgecnn.compare_networks(["lenet"], "digits", compared.folder, epochs=2, **QUICK)


@pytest.mark.slow
def test_makes_a_damaged_bundle_again(compared: ComparedNetworks):
    (compared.folder / "lenet-int8" / "model.onnx").write_bytes(b"damaged")
    edgecnn.compare_networks(["lenet"], "digits", compared.folder, epochs=1, precisions=["int8"], **QUICK)
    assert open_bundle(compared.folder / "lenet-int8").manifest.precision == "int8"


@pytest.mark.slow
def test_fails_if_every_network_fails(tmp_path: Path):
    (tmp_path / "net.py").write_text(FACTORY)
    with pytest.raises(EdgecnnError, match=r"every network failed: .*broken"):
        edgecnn.compare_networks([f"{tmp_path}/net.py:broken"], "digits", tmp_path / "out", epochs=1)


@pytest.mark.slow
def test_continues_after_a_kill(tmp_path: Path):
    command = [sys.executable, "-m", "edgecnn", "compare-networks", "lenet", "--data", "digits"]
    command += [
        "--out",
        str(tmp_path / "out"),
        "--epochs",
        "6",
        "--rounds",
        "4",
        "--turn",
        "0.02",
        "--precision",
        "fp32",
    ]
    unfinished = tmp_path / "out" / "lenet.unfinished" / "checkpoint.json"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not unfinished.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    done = len(json.loads(unfinished.read_text())["history"])
    assert 1 <= done < 6
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line for line in found.stderr.splitlines() if line.startswith("epoch ")]
    assert [row.split()[1] for row in rows] == [f"{number}/6" for number in range(done + 1, 7)]
    assert (tmp_path / "out" / "index.html").exists()
    assert not unfinished.exists()
