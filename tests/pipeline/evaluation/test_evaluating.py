"""`evaluate` as a function: arguments, errors and output files."""

from pathlib import Path

import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, OverlapWarning, UsageError
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.evaluation.evaluating import evaluate
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.verification.recorded import read_recorded


def test_saves_the_logits_of_a_checkpoint(checkpoint_path: Path, fp32_bundle: Bundle, tmp_path: Path):
    found = evaluate(checkpoint_path, "digits", save_logits=tmp_path / "r.npz")
    saved = read_recorded(tmp_path / "r.npz")
    assert saved.reference == fp32_bundle.manifest.reference.digest
    assert saved.images_digest == found.data.digest == open_source("digits").split("test").digest
    right = (saved.logits.argmax(axis=1) == open_source("digits").split("test").known_targets()).sum()
    assert right == found.metrics.top1.right


def test_rejects_saving_logits_of_a_bundle(committed: Bundle, tmp_path: Path):
    with pytest.raises(UsageError, match="pass a checkpoint"):
        evaluate(committed.path, "digits", save_logits=tmp_path / "r.npz")


@pytest.mark.parametrize(("name", "file"), [("plot", "plot.png"), ("save_logits", "file")])
def test_rejects_output_inside_a_bundle(committed: Bundle, checkpoint_path: Path, name: str, file: str):
    with pytest.raises(UsageError, match="sealed"):
        evaluate(checkpoint_path, "digits", **{name: committed.path / file})  # type: ignore[arg-type]


def test_a_checkpoint_accepts_threads_only(checkpoint_path: Path):
    assert evaluate(checkpoint_path, "digits", options=SessionOptions(threads=1)).session.threads == 1
    for options in (SessionOptions(precision="bf16"), SessionOptions(device="cuda")):
        with pytest.raises(UsageError, match="a checkpoint runs in PyTorch"):
            evaluate(checkpoint_path, "digits", options=options)


def test_warns_of_calibration_images(int8_bundle: Bundle):
    with pytest.warns(OverlapWarning, match="too optimistic"):
        evaluate(int8_bundle.path, "digits", split="train")
    with pytest.raises(EdgecnnError, match="too optimistic"):
        evaluate(int8_bundle.path, "digits", split="train", strict=True)
