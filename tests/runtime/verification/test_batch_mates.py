"""Batch mates: allowed rounding, and detection of answers that depend on other images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from networks import subtract_batch_mean

from edgecnn.bundle.store import Bundle
from edgecnn.host.resources import usable_cores
from edgecnn.pipeline.data.sources import open_source
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.engine import Session, SessionInfo, SessionOptions
from edgecnn.runtime.engines.registry import get_engine, installed
from edgecnn.runtime.verification.batch_mates import (
    BATCHES,
    IMAGES,
    LIMIT_SHARE,
    BatchMates,
    check_batch_mates,
    choose_images,
    thread_counts,
)


def digits(bundle: Bundle) -> np.ndarray:
    split = open_source("digits").split("test")
    return split.pixels(choose_images(len(split)), bundle.manifest.preprocessing)


def held(model: Path, engine: str, images: np.ndarray, tolerance: float) -> BatchMates:
    """Run a graph once as a comparison does, then with other batch mates, with one thread and with two."""

    def open_with(threads: int) -> Session:
        return get_engine(engine).open(model, SessionOptions(threads=threads))

    logits = run_batches(open_with(2), images, classes=10)
    return check_batch_mates(images, logits, open_with=open_with, threads=(1, 2), tolerance=tolerance)


@pytest.mark.parametrize("engine", installed())
@pytest.mark.parametrize("name", ["fp32_bundle", "int8_bundle"])
def test_answers_do_not_depend_on_batch_mates(name: str, engine: str, request: pytest.FixtureRequest):
    bundle: Bundle = request.getfixturevalue(name)
    found = held(bundle.model, engine, digits(bundle), bundle.self_test().tolerance)
    assert found.failures() == ()
    assert found.images == IMAGES
    assert [(run.threads, run.batch) for run in found.runs] == [(threads, b) for threads in (1, 2) for b in BATCHES]
    assert found.limit == LIMIT_SHARE * bundle.self_test().tolerance


@pytest.mark.parametrize("engine", installed())
def test_detects_a_subtracted_batch_mean(fp32_bundle: Bundle, engine: str, tmp_path: Path):
    model = tmp_path / "model.onnx"
    model.write_bytes(subtract_batch_mean(fp32_bundle.model))
    found = held(model, engine, digits(fp32_bundle), fp32_bundle.self_test().tolerance)
    (failure,) = found.failures()
    assert failure.startswith("answers depend on batch mates, batch size or threads: at batch 1 ")
    assert failure.endswith(" of 8 settings fail")
    assert found.worst.batch == 1  # the mean of a single image is the image itself
    assert found.worst.different > IMAGES / 2


def test_detects_scales_from_the_batch(fp32_bundle: Bundle, int8_bundle: Bundle, tmp_path: Path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = tmp_path / "model.onnx"
    quantize_dynamic(str(fp32_bundle.model), str(model), weight_type=QuantType.QUInt8)
    (failure,) = held(model, "onnxruntime", digits(fp32_bundle), int8_bundle.self_test().tolerance).failures()
    assert failure.endswith(" of 8 settings fail")


class Drifting:
    """A session whose logits are the pixel and its negative, plus a drift that depends on the batch size."""

    instances = 1

    def __init__(self, drift: Callable[[int], object], threads: int = 1) -> None:
        self.info = SessionInfo("fake", "0", "cpu", "fp32", threads)
        self.closed = False
        self._drift = drift

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        pixels = images.reshape(-1, 1).astype(np.float32)
        logits = np.hstack([pixels, -pixels]) + np.asarray(self._drift(len(images)), np.float32)
        if out is not None:
            np.copyto(out, logits)
        return logits

    def close(self) -> None:
        self.closed = True


PIXELS = np.arange(1, 6, dtype=np.uint8).reshape(5, 1, 1, 1)
LOGITS = Drifting(lambda batch: 0).run(PIXELS)


def drifted(drift: Callable[[int], object], tolerance: float = 1.0) -> BatchMates:
    def open_with(threads: int) -> Session:
        return Drifting(drift, threads)

    return check_batch_mates(PIXELS, LOGITS, open_with=open_with, threads=(1,), tolerance=tolerance)


def test_repeats_few_images_to_fill_a_batch():
    assert [run.max_difference for run in drifted(lambda batch: batch / 8).runs] == [0.125, 0.375, 1.0, 4.0]


def test_allows_a_share_of_the_tolerance():
    assert drifted(lambda batch: batch / 128).failures() == ()
    (failure,) = drifted(lambda batch: batch / 64).failures()
    assert "at batch 32 and threads 1 a logit changes by 0.5 (allowed 0.25) and 0 decided answers change" in failure
    assert "1 of 4 settings fail" in failure


def test_rejects_logits_that_are_not_finite():
    found = drifted(lambda batch: np.nan)
    assert found.worst.max_difference is None
    assert "a logit is not finite" in found.failures()[0]


def test_ignores_undecided_answers():
    def tips(batch: int) -> list[float]:
        return [-1.5, 1.5] if batch == 8 else [0, 0]  # the margin of the first image is 2

    assert drifted(tips, tolerance=8).failures() == ()
    assert {run.batch: run.different > 0 for run in drifted(tips, tolerance=1).runs} == {
        batch: batch == 8 for batch in BATCHES
    }


def test_closes_each_session_before_the_next():
    opened: list[Drifting] = []

    def open_with(threads: int) -> Drifting:
        assert all(session.closed for session in opened)
        opened.append(Drifting(lambda batch: 0, threads))
        return opened[-1]

    done: list[tuple[int, int]] = []
    check_batch_mates(
        PIXELS,
        LOGITS,
        open_with=open_with,
        threads=(1, 2, 4),
        tolerance=1.0,
        progress=lambda stage, at, total, note="", /: done.append((at, total)),
    )
    assert [session.info.threads for session in opened] == [1, 2, 4]
    assert all(session.closed for session in opened)
    assert done == [(step, 12) for step in range(13)]


def test_chooses_evenly_spaced_images():
    assert choose_images(5).tolist() == [0, 1, 2, 3, 4]
    chosen = choose_images(10_000)
    assert (len(chosen), chosen[0], chosen[-1]) == (IMAGES, 0, 9999)
    assert choose_images(1).tolist() == [0]


def test_chooses_thread_counts_for_a_cpu():
    assert thread_counts(SessionInfo("onnxruntime", "1", "cpu", "fp32", 3)) == tuple(sorted({1, 3, usable_cores()}))
    assert thread_counts(SessionInfo("onnxruntime", "1", "cuda:1", "fp32", 3)) == (3,)
