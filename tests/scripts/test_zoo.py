"""`make zoo`: existing models are kept, and the table is made from the checkpoints alone."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.quantization.networks import TORCHVISION
from edgecnn.pipeline.training.checkpoint import read_checkpoint

REPOSITORY = Path(__file__).parent.parent.parent
sys.path.insert(0, str(REPOSITORY / "scripts"))
import zoo  # noqa: E402

sys.path.pop(0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_path: Path) -> Path:
    """Return a folder with a zoo of one trained model."""
    monkeypatch.setattr(zoo, "ZOO", tmp_path / "zoo")
    monkeypatch.setattr(zoo, "RESULT", tmp_path / "zoo.json")
    monkeypatch.setattr(zoo, "PAGE", tmp_path / "docs" / "zoo.md")
    monkeypatch.setattr(zoo, "MODELS", (zoo.Model("lenet", "digits", 0.98),))
    monkeypatch.setattr(sys, "argv", ["zoo.py", "--only", "lenet-digits"])
    shutil.copytree(checkpoint_path, tmp_path / "zoo" / "lenet-digits")
    return tmp_path


@pytest.mark.slow
def test_keeps_a_trained_model_and_its_figures(place: Path):
    before = read_checkpoint(place / "zoo" / "lenet-digits")
    zoo.main()
    assert read_checkpoint(place / "zoo" / "lenet-digits").digest == before.digest
    (row,) = json.loads((place / "zoo.json").read_text())["models"]
    assert row["test_top1"] == before.record.test_top1
    assert row["interval_95"][0] < row["test_top1"] <= row["interval_95"][1]
    assert row["checkpoint"] == before.digest
    assert row["parameters"] == 61_706
    page = (place / "docs" / "zoo.md").read_text()
    assert f"| lenet-digits | 32 | {row['test_top1']:.2%} |" in page
    assert "not reached" not in page


def test_page_marks_a_missed_target(place: Path):
    model = zoo.Model("lenet", "digits", 1.01)
    assert "101.0% (not reached)" in zoo.page([zoo.row(model)])


def test_every_zoo_model_has_a_recipe_and_a_target():
    own = {"lenet", "alexnet", "vgg11_bn", "googlenet", "resnet18"}
    assert {model.architecture for model in zoo.MODELS} == own | {f"torchvision:{name}" for name in TORCHVISION}
    assert all(0.8 <= model.expected_top1 < 1 for model in zoo.MODELS)
