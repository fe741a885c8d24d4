"""The margin below which an answer is unsure: its choice, and where bundles and commands show it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import Result
from repository import REPOSITORY

from edgecnn import load
from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.export.exporting import export
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.unsure import LEAST_SURE, choose_margin
from edgecnn.prediction import are_sure

SEVERAL = Scores("sigmoid", multi_label=True)
IMAGE = REPOSITORY / "calibration" / "digits-sample" / "train" / "7" / "1.png"


def answers(margins: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logits of two classes with these margins, and targets that make these answers right."""
    return np.stack([margins, np.zeros(len(margins))], axis=1).astype(np.float32), np.where(right, 0, 1)


def test_the_sure_answers_are_right():
    margins = np.linspace(0, 10, 1000)
    right = (margins >= 4) | (np.arange(1000) % 2 == 0)
    logits, targets = answers(margins, right)
    margin = choose_margin(logits, targets, Scores())
    assert margin is not None
    assert 3.8 < margin < 4
    assert right[margins >= margin].mean() >= 0.99
    assert right[margins >= margin - 0.1].mean() < 0.99


def test_an_accurate_network_is_unsure_of_unusual_images():
    margins = np.linspace(1, 10, 1000)
    margin = choose_margin(*answers(margins, np.full(1000, True)), Scores())
    assert margin == pytest.approx(1.09, abs=0.01)


def test_equal_margins_are_sure_together():
    margins, right = np.repeat([2.0, 1.0], 100), np.full(200, True)
    right[110:120] = False
    assert choose_margin(*answers(margins, right), Scores()) == 2


def test_several_labels_have_the_smallest_margin():
    logits = np.tile(np.float32([[5, -4], [3, 0.5]]), (100, 1))
    targets = np.tile([[1, 0], [1, 0]], (100, 1))
    assert choose_margin(logits, targets, SEVERAL) == 4


@pytest.mark.parametrize(
    ("margins", "right"),
    [
        (np.ones(LEAST_SURE - 1), np.full(LEAST_SURE - 1, True)),
        (np.arange(1000.0), np.arange(1000) % 2 == 0),
        (np.arange(1000.0), np.full(1000, False)),
    ],
    ids=["few images", "inaccurate network", "wrong answers"],
)
def test_chooses_no_margin(margins: np.ndarray, right: np.ndarray):
    assert choose_margin(*answers(margins, right), Scores()) is None


def test_a_single_class_has_no_margin():
    assert choose_margin(np.ones((200, 1), np.float32), np.zeros(200, np.int64), Scores()) is None


def test_export_chooses_it_from_images_that_training_held_out(fp32_bundle: Bundle, checkpoint_path: Path):
    scores, found = fp32_bundle.manifest.scores, fp32_bundle.proof().unsure
    held_out = read_checkpoint(checkpoint_path).record.validation
    assert found is not None
    assert (found.chosen_on, found.images) == (held_out, 385)
    test = open_source("digits").split("test")
    with load(fp32_bundle) as classifier:
        logits = classifier.logits(test.all_pixels(fp32_bundle.manifest.preprocessing))
    sure = are_sure(logits, scores)
    right = logits.argmax(axis=1) == test.known_targets()
    assert (found.sure, found.right) == (sure.sum(), (sure & right).sum())
    assert right[sure].mean() >= right.mean()
    assert sure.mean() > 0.9


def test_quantized_bundles_inherit_it(fp32_bundle: Bundle, int8_bundle: Bundle):
    parent, found = fp32_bundle.proof().unsure, int8_bundle.proof().unsure
    assert int8_bundle.manifest.scores == fp32_bundle.manifest.scores
    assert int8_bundle.manifest.scores.unsure_margin is not None
    assert parent is not None
    assert found is not None
    assert (found.chosen_on, found.images) == (parent.chosen_on, parent.images)
    assert abs(found.sure - parent.sure) < 5


@pytest.mark.slow
def test_the_images_of_the_proof_replace_missing_ones(checkpoint_path: Path, tmp_path: Path):
    reference = read_checkpoint(checkpoint_path).reference
    assert reference.held_out is not None
    others = dataclasses.replace(reference.held_out.images, digest="0" * 64)  # the images have changed since
    changed = dataclasses.replace(reference.held_out, images=others)
    for number, held_out in enumerate((None, changed)):
        bundle = export(dataclasses.replace(reference, held_out=held_out), tmp_path / f"net{number}")
        found = bundle.proof().unsure
        assert found is not None
        assert found.chosen_on == bundle.proof().data


@pytest.mark.slow
def test_images_without_classes_choose_none(checkpoint_path: Path, tmp_path: Path):
    reference = dataclasses.replace(read_checkpoint(checkpoint_path).reference, data=None, held_out=None)
    bundle = export(reference, tmp_path / "net")  # proven on photographs
    assert bundle.manifest.scores == Scores()
    assert bundle.proof().unsure is None
    assert "unsure" not in (bundle.path / "manifest.json").read_text() + (bundle.path / "proof.json").read_text()


@pytest.mark.slow
def test_the_user_sets_it(edgecnn: Callable[..., Result], checkpoint_path: Path, tmp_path: Path):
    for margin, unsure in ((99.5, True), (0, False)):
        out = tmp_path / f"net{margin}"
        done = edgecnn("export", checkpoint_path, "--out", out, "--unsure-margin", margin)
        assert done.code == 0, done.err
        assert f"unsure below a margin of {margin} (as stated): {'0.00%' if unsure else '100.00%'} of" in done.out
        done = edgecnn("predict", out, IMAGE, "--json")
        assert done.json_lines[0]["unsure"] == unsure
        assert edgecnn("predict", out, IMAGE).out.startswith(f"{IMAGE}: {'unsure: ' if unsure else ''}7 ")


@pytest.mark.parametrize("margin", [-1, float("nan"), float("inf")])
def test_rejects_a_margin(margin: float, checkpoint_path: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="--unsure-margin must be a number of at least 0"):
        export(read_checkpoint(checkpoint_path).reference, tmp_path / "net", unsure_margin=margin)
    assert list(tmp_path.iterdir()) == []
