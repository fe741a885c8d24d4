"""The plot of a training."""

import dataclasses
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from edgecnn.errors import EdgecnnError
from edgecnn.pipeline.training import curves as module
from edgecnn.pipeline.training.checkpoint import CheckpointRecord, Epoch, read_checkpoint
from edgecnn.pipeline.training.curves import curves, draw


@pytest.fixture(scope="module")
def record(checkpoint_path: Path) -> CheckpointRecord:
    return read_checkpoint(checkpoint_path).record


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    drawn: list[Figure] = []
    real = module.rendered
    monkeypatch.setattr(module, "rendered", lambda figure, suffix: drawn.append(figure) or real(figure, suffix))
    return drawn


def with_history(record: CheckpointRecord, *epochs: Epoch) -> CheckpointRecord:
    return dataclasses.replace(record, history=epochs, best_epoch=1)


def test_plots_all_epochs(record: CheckpointRecord, figures: list[Figure]):
    assert draw(record, ".png").startswith(b"\x89PNG")
    loss, accuracy, rate = figures[0].axes
    for axes, names in ((loss, ("loss", "validation_loss")), (accuracy, ("accuracy", "validation_top1"))):
        for line, name in zip(axes.get_lines(), names, strict=False):
            assert list(line.get_xdata()) == list(range(1, len(record.history) + 1))
            assert list(line.get_ydata()) == [getattr(epoch, name) for epoch in record.history]
    assert list(rate.get_lines()[0].get_ydata()) == [epoch.learning_rate for epoch in record.history]
    assert (loss.get_yscale(), accuracy.get_yscale(), rate.get_yscale()) == ("log", "linear", "log")
    assert figures[0].get_suptitle().startswith("lenet on digits: ")


def test_legends_are_beside_the_curves(record: CheckpointRecord, figures: list[Figure]):
    draw(record, ".png")
    for axes in figures[0].axes[:2]:
        assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1


def test_values_within_a_decade_are_linear(record: CheckpointRecord, figures: list[Figure]):
    first = Epoch(0.5, 0.8, None, None, 0.01, 1.0, 0.1)
    draw(with_history(record, first, dataclasses.replace(first, loss=0.3, accuracy=0.9)), ".png")
    assert {axes.get_yscale() for axes in figures[0].axes} == {"linear"}
    assert [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()] == ["training", "best epoch: 1"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_one_epoch_has_a_plot(record: CheckpointRecord, suffix: str):
    only = Epoch(0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.1)
    named = dataclasses.replace(with_history(record, only), source="照片 $1$", test_top1=None)
    assert draw(named, suffix)


def test_a_failed_training_has_a_plot_of_its_epochs(record: CheckpointRecord, tmp_path: Path):
    def fail_in_training() -> None:
        with curves(tmp_path / "new" / "c.svg") as drawn:
            drawn(record)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_in_training()
    assert (tmp_path / "new" / "c.svg").read_text().startswith("<?xml")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["c.svg"]


def test_a_training_without_epochs_has_no_plot(record: CheckpointRecord, tmp_path: Path):
    with curves(tmp_path / "c.png") as drawn:
        drawn(with_history(record))
    with curves(tmp_path / "c.png"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_reports_a_file_that_cannot_be_written(record: CheckpointRecord, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgecnnError, match="cannot write"), curves(tmp_path / "file" / "c.png") as drawn:
        drawn(record)
