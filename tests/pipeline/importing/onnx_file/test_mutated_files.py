"""Mutated ONNX files end with an answer or an error of one line, in bounded time and memory."""

import json
import multiprocessing
import random
import time
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
SECONDS = 60.0  # for one file, on a busy machine


def content_of(seed: int) -> bytes:
    """Return a damaged file: half of the seeds change the graph, and half change its bytes."""
    model = SEEDS[seed % len(SEEDS)]()
    if seed // len(SEEDS) % 2 and (changed := mutated(model, seed)) is not None:
        return bytes(changed.SerializeToString())
    return damaged(model.SerializeToString(), random.Random(seed))


def outcome(seed: int, folder: Path) -> str:
    """Open one mutated file; return what happened."""
    path = folder / f"{seed % 2}.onnx"
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


def work(first: int, last: int, folder: Path) -> None:
    """Open every second file from `first` on, and write a line before and after each."""
    confine(timeout_s=3600, memory_bytes=MEMORY)
    trial.confine = lambda **limits: None  # type: ignore[assignment]  # the limit of each file is that of this process
    with (folder / f"{first % 2}.jsonl").open("a") as log:
        for seed in range(first, last, 2):
            print(json.dumps([seed, "started"]), file=log, flush=True)
            print(json.dumps([seed, outcome(seed, folder)]), file=log, flush=True)


def outcomes(count: int, folder: Path) -> dict[int, str]:
    """Open `count` mutated files in processes of bounded memory. A process that ends is replaced."""
    found: dict[int, str] = {}
    context = multiprocessing.get_context("spawn")
    for part in range(2):
        following, path = part, folder / f"{part}.jsonl"
        while following < count:
            process = context.Process(target=work, args=(following, count, folder))
            process.start()
            while process.is_alive():
                process.join(1)
                if path.exists() and time.time() - path.stat().st_mtime > SECONDS:
                    process.kill()
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found |= {seed: result for seed, result in rows if result != "started"}
            ended = max(seed for seed, _ in rows)
            if ended not in found:  # in the child process of the command this is one line too
                found[ended] = f"ended: {process.exitcode}"
            following = ended + 2
    return found


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_files_give_one_line(count: int, tmp_path: Path):
    found = outcomes(count, tmp_path)
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
