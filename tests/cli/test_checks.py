"""`--expect`, `--preprocess` and labelled images check a stated preprocessing; the proof says how it was checked."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from shared import build_once
from tints import LABELS, OPTIONS, trained, write_tints

from edgecnn.bundle.store import open_bundle

CODE = """
import numpy as np
from PIL import Image

def prepare(path, kind=Image.Resampling.BILINEAR):
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    image = image.resize((int(36 * image.width / side), int(36 * image.height / side)), kind)
    left, top = round((image.width - 32) / 2), round((image.height - 32) / 2)
    pixels = np.asarray(image.crop((left, top, left + 32, top + 32)), np.float32)
    return ((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)

def nearest(path):
    return prepare(path, Image.Resampling.NEAREST)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tinted images, a trained network, its labels, and the user's code."""

    def build(out: Path) -> None:
        aside = out.with_name("tints.new")
        write_tints(aside / "tints", test=10)
        torch.save(trained(), aside / "lenet.pth")
        (aside / "labels.txt").write_text("\n".join(LABELS))
        (aside / "code.py").write_text(CODE)
        aside.rename(out)

    return build_once(tmp_path_factory, "tints", build)


@pytest.fixture
def export(edgecnn: Callable, place: Path, tmp_path: Path) -> Callable:
    def run(*more: object, options: list[str] = OPTIONS):
        files = ["--weights", place / "lenet.pth", "--labels", place / "labels.txt", "--data", place / "tints"]
        return edgecnn("export", "lenet", *files, *options, *more, "--out", tmp_path / "bundle")

    return run


def test_records_the_users_code(export: Callable, edgecnn: Callable, place: Path, tmp_path: Path):
    result = export("--preprocess", f"{place / 'code.py'}:prepare")
    assert result.code == 0, result.err
    says = "preprocessing checked against the user's code, on 36 image files"
    assert says in result.out
    proof = open_bundle(tmp_path / "bundle").proof()
    assert (proof.preprocessing, proof.checked_images) == ("function", 36)
    assert says in edgecnn("inspect", tmp_path / "bundle").out
    assert says in edgecnn("verify", tmp_path / "bundle").out
    described = json.loads(edgecnn("inspect", tmp_path / "bundle", "--json").out)
    assert (described["preprocessing"], described["checked_images"]) == ("function", 36)


def test_another_filter_writes_no_bundle(export: Callable, place: Path, tmp_path: Path):
    result = export("--preprocess", f"{place / 'code.py'}:nearest")
    assert result.code == 3
    assert "they match with --interpolation nearest" in result.error
    assert not (tmp_path / "bundle").exists()


@pytest.mark.slow
def test_records_the_users_answers(export: Callable, place: Path, tmp_path: Path):
    lines = [f"{path},{path.parent.name}" for path in sorted((place / "tints" / "test").glob("*/*"))]
    (tmp_path / "answers.csv").write_text("\n".join(["path,label", *lines]))
    result = export("--expect", tmp_path / "answers.csv")
    assert result.code == 0, result.err
    assert "preprocessing checked against 50 answers of the user" in result.out
    wrong = [line.replace(",red", ",blue") for line in lines[-3:]]
    (tmp_path / "answers.csv").write_text("\n".join(["path,label", *lines[:3], *wrong]))
    result = export("--expect", tmp_path / "answers.csv", "--force")
    assert result.code == 3
    assert "3 of 6 images have another label" in result.error
    assert open_bundle(tmp_path / "bundle").proof().preprocessing == "answers"


@pytest.mark.slow
def test_warns_of_a_better_statement(export: Callable):
    options = [*OPTIONS[:4], "--mean", "0,0,0", "--std", "1,1,1"]
    result = export(options=options)
    assert result.code == 0, result.err
    assert "preprocessing as stated (not checked: --expect or --preprocess)" in result.out
    warning = next(line for line in result.err.splitlines() if line.startswith("warning: "))
    assert "points higher with --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5" in warning
    strict = export("--strict", "--force", options=options)
    assert strict.code == 1
    assert "points higher with" in strict.error


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--expect", "missing.csv"], 2, "cannot read --expect missing.csv"),
        (["--expect", "."], 2, "cannot read --expect ."),
        (["--preprocess", "missing.py:f"], 2, "the file missing.py does not exist"),
        (["--preprocess", "f"], 2, "expects package.module:function or file.py:function"),
        (["--expect", "a.csv", "--preprocess", "a.py:f"], 2, "give one of them"),
    ],
)
def test_rejects_wrong_options_before_the_work(export: Callable, arguments: list[str], code: int, says: str):
    result = export(*arguments)
    assert result.code == code
    assert says in result.error


def test_rejects_a_file_without_answers(export: Callable, place: Path):
    result = export("--expect", place / "labels.txt")
    assert result.code == 1
    assert "expected `path` and `label`" in result.error
