"""The data files match their schemas, and show what the chapters say about them."""

import json
from importlib.resources import files
from typing import Any

import pytest

from edgecnn.files.schema import SchemaError, plain
from edgecnn.learning.architectures import facts
from edgecnn.learning.architectures.counts import Counts
from edgecnn.learning.architectures.measurements import Depths, Gradients, Overfitting, read
from edgecnn.learning.architectures.pictures import Digits, Photographs
from edgecnn.learning.architectures.published import Published

DATA = files("edgecnn.learning.architectures") / "data"
KINDS: dict[str, type[Any]] = {
    "counts": Counts,
    "depth": Depths,
    "digits": Digits,
    "gradients": Gradients,
    "overfitting": Overfitting,
    "photographs": Photographs,
    "published": Published,
}


@pytest.mark.parametrize("name", KINDS)
def test_data_match_their_schema(name: str):
    found = read(KINDS[name], name)
    assert plain(found) == json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


def test_every_data_file_has_a_schema():
    assert {file.name for file in DATA.iterdir()} == {f"{name}.json" for name in KINDS}


def test_rejects_a_file_of_another_kind():
    with pytest.raises(SchemaError, match="unknown key"):
        read(Depths, "gradients")


def test_measurements_record_how_they_were_made():
    for kind in (Depths, Gradients, Overfitting):
        name = next(name for name, each in KINDS.items() if each is kind)
        origin = read(kind, name).origin
        assert origin.command == f"python -m benchmarks.learning.run {name}"
        assert origin.versions["torch"]
        assert origin.processor


def test_gradients_vanish_only_with_sigmoid_and_without_batch_norm():
    found = {(each.activation, each.batch_norm, each.skips): each.norms for each in read(Gradients, "gradients").series}
    assert len(found) == 8
    for (activation, batch_norm, skips), norms in found.items():
        shrinks = activation == "sigmoid" and not batch_norm
        assert (norms[0] / norms[-1] < (1e-5 if skips else 1e-11)) == shrinks
    plain_norms, skip_norms = found["sigmoid", False, False], found["sigmoid", False, True]
    assert plain_norms[0] < 1e-4 * skip_norms[0]


def test_depth_harms_the_training_loss_only_without_skips():
    found = {(each.depth, each.skips): each.loss.mean[-1] for each in read(Depths, "depth").series}
    assert found[8, False] < found[20, False] < found[44, False]
    assert max(found[20, True], found[44, True]) < found[8, True]


def test_kinds_of_one_depth_have_equally_many_parameters():
    found = read(Depths, "depth").series
    for depth in {each.depth for each in found}:
        assert len({each.parameters for each in found if each.depth == depth}) == 1


def test_few_images_are_learned_by_heart():
    plain_training, dropout, augmentation, more = read(Overfitting, "overfitting").series
    assert plain_training.training_accuracy.mean[-1] == 1
    assert plain_training.validation_loss.mean[-1] > 1.5 * min(plain_training.validation_loss.mean)
    for other in (dropout, augmentation, more):
        assert other.validation_loss.mean[-1] < plain_training.validation_loss.mean[-1]
    assert more.validation_accuracy.mean[-1] > plain_training.validation_accuracy.mean[-1]


def test_lenet_reads_every_digit():
    for digit in read(Digits, "digits").digits:
        probabilities = digit.layers[-1].values
        assert probabilities.index(max(probabilities)) == int(digit.label)
        assert sum(probabilities) == pytest.approx(1, abs=0.01)


def test_each_chapter_gets_its_own_network():
    for chapter in ("lenet", "alexnet", "vgg", "googlenet", "resnet"):
        found = facts.network(chapter)
        assert found["network"]["name"].startswith(chapter)
        assert found["accuracy"]["architecture"].startswith(chapter)
        assert [each["network"] for each in found["latencies"]] == 3 * [found["network"]["name"]]


def test_powers_of_ten_are_written_out():
    found = facts.gradients()
    assert found["product"] == "4 · 10⁻¹²"
    assert found["first"].endswith("10⁻¹⁴")
