"""The comparison of `benchmarks/devices/gpu_training.py`, with a tiny training on the CPU."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.devices.gpu_training import compare, page, train_again
from edgecnn.errors import EdgecnnError
from edgecnn.files.schema import plain
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.training.checkpoint import CheckpointRecord, read_checkpoint
from edgecnn.pipeline.training.loop import train
from edgecnn.pipeline.training.recipes import recipe


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> CheckpointRecord:
    """Return the record of LeNet after one epoch on digits."""
    out: Path = tmp_path_factory.mktemp("gpu") / "lenet"
    options = dataclasses.replace(recipe("lenet", "digits"), epochs=1)
    train("lenet", open_source("digits"), out, source_name="digits", options=options)
    return read_checkpoint(out).record


def test_same_recipe_holds_on_the_same_device(record: CheckpointRecord):
    found = train_again(record, open_source("digits"), device="cpu")
    assert found.holds
    assert (found.loss_change, found.points) == (0, 0)
    text = page({"comparison": plain(found), "measured_at": "now", "site": _SITE})
    assert "| cpu | " in text
    assert "The training holds" in text


def test_other_loss_or_top1_does_not_hold(record: CheckpointRecord):
    epoch = record.history[-1]
    other_loss = dataclasses.replace(record, history=(dataclasses.replace(epoch, loss=1.1 * epoch.loss),))
    other_top1 = dataclasses.replace(record, test_top1=(record.test_top1 or 0) - 0.02)
    assert not compare(record, other_loss).holds
    assert not compare(record, other_top1).holds


def test_stops_if_the_time_is_not_enough(record: CheckpointRecord):
    with pytest.raises(EdgecnnError, match="epochs take"):
        train_again(record, open_source("digits"), device="cpu", limit_s=0)


_SITE = {"processor": "a processor", "cores": 2, "engines": {}}
