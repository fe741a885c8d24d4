"""A resumed training gives the same result as an uninterrupted one, and keeps finished epochs."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from edgecnn.errors import EdgecnnError, OutputExists, UsageError
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.training import curves
from edgecnn.pipeline.training.checkpoint import Epoch, read_checkpoint, unfinished
from edgecnn.pipeline.training.loop import Trained, train
from edgecnn.pipeline.training.recipes import TrainingOptions, recipe

OPTIONS = recipe("lenet", "digits", epochs=4)


class Stop(Exception):
    """Stops a run early."""


def run(out: Path, *, stop_after: int | None = None, options: TrainingOptions = OPTIONS, **more: Any) -> Trained:
    def on_epoch(number: int, epoch: Epoch) -> None:
        if number == stop_after:
            raise Stop

    return train("lenet", open_source("digits"), out, source_name="digits", options=options, on_epoch=on_epoch, **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "lenet"
    run(out)
    return out


def states_are_equal(first: Path, second: Path) -> bool:
    one, two = read_checkpoint(first).state, read_checkpoint(second).state
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
def test_showing_a_run_does_not_change_it(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn: list[Figure] = []
    real = curves.rendered
    monkeypatch.setattr(curves, "rendered", lambda figure, suffix: drawn.append(figure) or real(figure, suffix))
    out, plot, notes = tmp_path / "lenet", tmp_path / "curves.svg", list[str]()
    with pytest.raises(Stop):
        run(out, stop_after=2, plot=plot, watch=0)
    assert len(drawn[0].axes[0].get_lines()[0].get_xdata()) == 2
    run(out, resume=True, plot=plot, watch=0, on_note=notes.append)
    assert states_are_equal(out, whole)
    assert list(drawn[1].axes[0].get_lines()[0].get_xdata()) == [1, 2, 3, 4], "a resumed run shows all epochs"
    assert any(note.startswith("live page: http://127.0.0.1:") for note in notes)
    plot.unlink()
    run(out, resume=True, plot=plot)
    assert plot.exists(), "a finished run too"
    assert len(drawn) == 3


@pytest.mark.parametrize("stop_after", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_resumed_run_gives_the_same_weights(whole: Path, tmp_path: Path, stop_after: int):
    out = tmp_path / "lenet"
    with pytest.raises(Stop):
        run(out, stop_after=stop_after)
    assert not out.exists()
    assert len(read_checkpoint(unfinished(out)).record.history) == stop_after
    run(out, resume=True)
    assert states_are_equal(out, whole)
    mine, theirs = read_checkpoint(out).record, read_checkpoint(whole).record
    assert [epoch.loss for epoch in mine.history] == [epoch.loss for epoch in theirs.history]
    assert mine.test_top1 == theirs.test_top1
    assert not unfinished(out).exists()


@pytest.mark.slow
def test_resumes_dropout_and_batch_norm(tmp_path: Path):
    options = TrainingOptions(epochs=2, image_size=32, optimizer="sgd", learning_rate=0.01)
    source = small(tmp_path / "data")

    def once(out: Path, stop_after: int | None, **more: bool) -> None:
        def on_epoch(number: int, epoch: Epoch) -> None:
            if number == stop_after:
                raise Stop

        train("googlenet", source, out, source_name="x", options=options, on_epoch=on_epoch, **more)

    once(tmp_path / "whole", None)
    with pytest.raises(Stop):
        once(tmp_path / "broken", 1)
    once(tmp_path / "broken", None, resume=True)
    assert states_are_equal(tmp_path / "whole", tmp_path / "broken")


def small(folder: Path):
    import numpy as np
    from PIL import Image

    from edgecnn.pipeline.data.folder import ImageFolder

    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for number, label in enumerate(("dark", "bright")):
            (folder / part / label).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 120, (32, 32, 3)) + 130 * number
                Image.fromarray(pixels.astype(np.uint8)).save(folder / part / label / f"{index}.png")
    return ImageFolder(folder)


def test_an_unfinished_run_is_a_checkpoint(tmp_path: Path):
    with pytest.raises(Stop):
        run(tmp_path / "lenet", stop_after=2)
    checkpoint = read_checkpoint(tmp_path / "lenet.unfinished")
    assert checkpoint.record.test_top1 is None
    checkpoint.reference.module()


def test_keeps_a_finished_run(whole: Path):
    before = (whole / "checkpoint.json").read_bytes()
    assert run(whole, resume=True).test_top1 == read_checkpoint(whole).record.test_top1
    assert (whole / "checkpoint.json").read_bytes() == before


def test_resume_starts_a_new_run(tmp_path: Path):
    options = recipe("lenet", "digits", epochs=1)
    assert run(tmp_path / "new", options=options, resume=True).best_epoch == 1


def test_rejects_resuming_with_other_options(whole: Path):
    other = recipe("lenet", "digits", epochs=5, learning_rate=1e-3)
    with pytest.raises(UsageError, match=r"--epochs 4 → 5; --learning-rate 0\.005 → 0\.001"):
        run(whole, options=other, resume=True)


def test_rejects_resuming_other_training(whole: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="architecture lenet → resnet18"):
        train("resnet18", open_source("digits"), whole, source_name="digits", options=OPTIONS, resume=True)
    with pytest.raises(UsageError, match="training images"):
        train("lenet", small(tmp_path / "d"), whole, source_name="d", options=OPTIONS, resume=True)


def test_keeps_an_unfinished_run_without_force(tmp_path: Path):
    out = tmp_path / "lenet"
    with pytest.raises(Stop):
        run(out, stop_after=1)
    with pytest.raises(OutputExists, match=r"lenet\.unfinished has an unfinished training: continue it with --resume"):
        run(out)
    run(out, options=recipe("lenet", "digits", epochs=1), force=True)
    assert not unfinished(out).exists()


@pytest.mark.slow
@pytest.mark.parametrize("delays_s", [(0.05,), (0.0, 0.05, 0.4)])
def test_a_kill_leaves_the_last_checkpoint(whole: Path, tmp_path: Path, delays_s: tuple[float, ...]):
    out = tmp_path / "lenet"
    command = [sys.executable, "-m", "edgecnn", "train", "lenet", "--data", "digits", "--epochs", "4"]
    command += ["--out", str(out), "--resume"]
    kills = 0
    for delay in delays_s:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch"):  # training has started
                time.sleep(delay)
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
        process.stderr.close()
        process.wait()
        if (unfinished(out) / "checkpoint.json").exists():
            assert len(read_checkpoint(unfinished(out)).record.history) >= 1
    assert kills
    subprocess.run(command, check=True, capture_output=True)
    assert states_are_equal(out, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["lenet"]


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path):
    out = tmp_path / "lenet"
    with pytest.raises(Stop):
        run(out, stop_after=1)
    before = read_checkpoint(unfinished(out)).digest
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # like a disk with 100 kB free
    try:
        with pytest.raises(EdgecnnError, match="existing files are unchanged"):
            run(out, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert read_checkpoint(unfinished(out)).digest == before
    run(out, resume=True)


def test_names_a_damaged_resume_file(tmp_path: Path):
    out = tmp_path / "lenet"
    with pytest.raises(Stop):
        run(out, stop_after=1)
    (unfinished(out) / "resume.safetensors").write_bytes(b"\x00" * 50)
    with pytest.raises(EdgecnnError, match=r"resume\.safetensors"):
        run(out, resume=True)
    record = json.loads((unfinished(out) / "checkpoint.json").read_text())
    assert record["test_top1"] is None
