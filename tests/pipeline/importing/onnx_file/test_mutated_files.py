"""Mutated ONNX files end with an answer or an error of one line, in bounded time and memory."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from command import Result

from edgecnn.host.confinement import confine
from edgecnn.pipeline.importing.onnx_file import trial
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.options import WeightsOptions
from tests.support.mutations import damaged, mutated
from tests.support.onnx_files import keras_style, paddle_style, saved, tf2onnx_style, torch_style
from tests.support.replaced_processes import outcomes

SEEDS: tuple[Callable[[], onnx.ModelProto], ...] = (
    lambda: torch_style(batch=1, end=["Softmax"]),
    lambda: torch_style(opset=9, end=["Sigmoid"]),
    tf2onnx_style,
    paddle_style,
    keras_style,
)
OPTIONS = OnnxOptions(WeightsOptions(image_size=(16, 16), scores=None), channel_order="bgr")
SIGMOID = OnnxOptions(WeightsOptions(image_size=(16, 16), scores="multi-label"), widen=True)
MEMORY = 4 << 30  # bytes


def content_of(seed: int) -> bytes:
    """Return a damaged file: half of the seeds change the graph, and half change its bytes."""
    model = SEEDS[seed % len(SEEDS)]()
    if seed // len(SEEDS) % 2 and (changed := mutated(model, seed)) is not None:
        return bytes(changed.SerializeToString())
    return damaged(model.SerializeToString(), random.Random(seed))


def outcome(seed: int, folder: Path) -> str:
    """Open one mutated file; return what happened."""
    path = folder / "net.onnx"
    path.write_bytes(content_of(seed))
    try:
        found = trial.result_of(path, None if seed % 7 == 0 else SIGMOID if seed % 5 == 1 else OPTIONS)
    except BaseException as error:  # every exception is a traceback for the user
        return f"traceback: {type(error).__name__}: {error}"
    if not found.error:
        return "opened"
    if "\n" in found.message or len(found.message) > 700:
        return f"bad message: {found.message!r}"
    return f"unforeseen: {found.message}" if "cannot open the graph:" in found.message else "error"


def bound_memory() -> None:
    """Bound the memory of this process, instead of that of each file."""
    confine(timeout_s=3600, memory_bytes=MEMORY)
    trial.confine = lambda **limits: None  # type: ignore[assignment]


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_files_give_one_line(count: int, tmp_path: Path):
    found = outcomes(outcome, bound_memory, count, tmp_path)
    wrong = {seed: text for seed, text in found.items() if text not in ("opened", "error")}
    crashes = {seed: text for seed, text in wrong.items() if text.startswith("ended: ") and text != "ended: -9"}
    assert {seed: text for seed, text in wrong.items() if seed not in crashes} == {}
    assert len(crashes) <= count / 100  # a library's crash is one line, because a child process opens the file
    kinds = Counter(found.values())
    assert kinds["error"] > count / 4
    assert kinds["opened"] > count / 50


@pytest.mark.slow
def test_mutated_files_give_one_line_on_the_command_line(edgecnn: Callable[..., Result], tmp_path: Path):
    for seed in range(30):
        path = tmp_path / "net.onnx"
        path.write_bytes(content_of(seed))
        found = edgecnn("import", path, "--image-size", 16, "--out", tmp_path / "b", "--force")
        assert found.code in (0, 1, 2, 3)
        assert "Traceback" not in found.err
        if found.code:
            assert found.error.startswith("error: ")


def test_nothing_in_a_file_is_executed(edgecnn: Callable[..., Result], tmp_path: Path):
    """External data may name a program or a pipe; it is never opened."""
    model = torch_style()
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="|touch executed")
    assert edgecnn("inspect", saved(model, tmp_path)).code == 1
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]
