"""Tests of `edgecnn train`: log, options and errors."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgecnn.pipeline.training.checkpoint import read_checkpoint


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path / "pets"
    for part, count in (("train", 12), ("test", 4)):
        for label in ("cat", "dog"):
            (root / part / label).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / label / f"{index}.png")
    return root


def test_logs_every_epoch(edgecnn: Callable, tmp_path: Path):
    out, board, plot = tmp_path / "lenet", tmp_path / "board", tmp_path / "plots" / "curves.PDF"
    options = ["--epochs", 3, "--tensorboard", board, "--plot", plot, "--watch", 0, "--json"]
    result = edgecnn("train", "lenet", "--data", "digits", "--out", out, *options)
    assert result.code == 0, result.err
    assert json.loads(result.out)["checkpoint"] == str(out)
    lines = [line for line in result.err.splitlines() if line.startswith("epoch")]
    assert [line[:9] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert result.err.splitlines()[-4].split() == ["loss", "accuracy", "validation", "time", "waiting", "for", "data"]
    assert max(map(len, result.err.splitlines()[-4:])) < 80
    assert plot.read_bytes().startswith(b"%PDF")
    assert "live page: http://127.0.0.1:" in result.err
    events = EventAccumulator(str(board)).Reload()
    history = read_checkpoint(out).record.history
    assert [event.step for event in events.Scalars("loss/training")] == [1, 2, 3]
    written = [event.value for event in events.Scalars("top1/validation")]
    assert written == pytest.approx([epoch.validation_top1 for epoch in history])


def test_options_override_the_recipe(edgecnn: Callable, tmp_path: Path):
    result = edgecnn(
        "train", "lenet", "--data", "digits", "--out", tmp_path / "x", "--epochs", 1, "--flip", "--zoom", 0
    )
    assert result.code == 0, result.err
    options = read_checkpoint(tmp_path / "x").record.options
    assert (options.epochs, options.flip, options.zoom, options.rotation) == (1, True, 0, 10)


def test_help_lists_options_and_their_defaults(edgecnn: Callable):
    text = edgecnn("train", "--help").out
    for option in ("--resume", "--weights", "--freeze / --no-freeze", "--tensorboard", "--optimizer", "--precision"):
        assert option in text
    assert "recipe of ARCH" in text


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--image-size", "16"], 2, "resnet18 takes images of at least 32 pixels, found --image-size 16"),
        (["--epochs", "0"], 2, "epochs must be positive, found 0"),
        (["--freeze"], 2, "--weights"),
        (["--weights", "nowhere.pth"], 2, "nowhere.pth is neither a file nor"),
        (["--precision", "fp16"], 2, "use bf16 or fp32"),
        (["--optimizer", "lion"], 2, "is not one of 'adamw', 'sgd'"),
        (["--plot", "curves.jpg"], 2, "expected a name that ends in .png, .svg or .pdf"),
        (["--plot", "/proc/curves.png"], 1, "error: cannot write /proc/curves.png: "),
        (["--watch", "65536"], 2, "65536 is not in the range"),
    ],
)
def test_rejects_invalid_options(
    edgecnn: Callable, pets: Path, tmp_path: Path, options: list[str], code: int, said: str
):
    result = edgecnn("train", "resnet18", "--data", pets, "--out", tmp_path / "x", *options)
    assert result.code == code
    assert said in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "x").exists()


def test_a_used_port_is_reported_before_training(edgecnn: Callable, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = edgecnn("train", "lenet", "--data", "digits", "--out", tmp_path / "x", "--watch", port)
    assert result.code == 2
    assert result.error == f"error: --watch {port}: Address already in use; choose another port, or 0 for any"
    assert list(tmp_path.iterdir()) == []


def test_rejects_a_class_with_one_image(edgecnn: Callable, pets: Path, tmp_path: Path):
    for path in sorted((pets / "train" / "dog").iterdir())[1:]:
        path.unlink()
    result = edgecnn("train", "resnet18", "--data", pets, "--out", tmp_path / "x", "--validation", 0)
    assert result.code == 1
    assert "pets has 1 training image of the class dog: expected at least 2" in result.error


def test_rejects_different_classes_in_test_split(edgecnn: Callable, pets: Path, tmp_path: Path):
    (pets / "test" / "dog").rename(pets / "test" / "bird")
    result = edgecnn("train", "resnet18", "--data", pets, "--out", tmp_path / "x")
    assert result.code == 1
    assert "has the classes bird, which" in result.error


@pytest.mark.slow
def test_warns_about_images_in_both_splits(edgecnn: Callable, pets: Path, tmp_path: Path):
    (pets / "test" / "cat" / "copy.png").write_bytes((pets / "train" / "cat" / "0.png").read_bytes())
    command = ["train", "resnet18", "--data", pets, "--image-size", 32, "--epochs", 1]
    result = edgecnn(*command, "--out", tmp_path / "x")
    assert result.code == 0
    assert (
        "warning: 1 of 9 test images of pets are also training images (train/cat/0.png = test/cat/copy.png)"
        in result.err
    )
    result = edgecnn(*command, "--out", tmp_path / "y", "--strict")
    assert result.code == 1
    assert not (tmp_path / "y").exists()


def test_resume_rejects_changed_options(edgecnn: Callable, tmp_path: Path):
    command = ["train", "lenet", "--data", "digits", "--out", tmp_path / "x", "--resume"]
    assert edgecnn(*command, "--epochs", 1).code == 0
    assert edgecnn(*command, "--epochs", 1).code == 0
    result = edgecnn(*command, "--epochs", 2)
    assert result.code == 2
    assert "--epochs 1 → 2" in result.error
