"""Tests of `edgecnn verify --data`: statistics, flips, batch mates and the record."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from device import OnADevice
from networks import subtract_batch_mean

from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.host.resources import usable_cores
from edgecnn.pipeline.data.sources import open_source
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.record import read_record
from edgecnn.runtime.verification.recorded import RecordedLogits, read_recorded


@pytest.fixture
def sociable(fp32_bundle: Bundle, tmp_path: Path) -> tuple[Bundle, Path]:
    """An intact bundle whose logits depend on the batch, and its logits for the test digits in order."""
    model = subtract_batch_mean(fp32_bundle.model)
    (tmp_path / "model.onnx").write_bytes(model)
    session = open_session(dataclasses.replace(fp32_bundle, path=tmp_path), engine="onnxruntime")
    self_test = fp32_bundle.self_test()
    logits = run_batches(session, self_test.images, classes=10)
    bundle = create_bundle(
        tmp_path / "sociable",
        manifest=fp32_bundle.manifest,
        model=model,
        self_test=dataclasses.replace(self_test, logits=logits, engine_logits={}, encoded=()),
        proof=fp32_bundle.proof(),
    )
    split = open_source("digits").split("test")
    found = run_batches(session, split.all_pixels(bundle.manifest.preprocessing), classes=10)
    RecordedLogits(bundle.manifest.reference.digest, "c" * 64, split.digest, found).write(tmp_path / "reference.npz")
    return bundle, tmp_path / "reference.npz"


def compared(edgecnn, bundle: Bundle, given: OnADevice, *options: object):
    return edgecnn("verify", bundle.path, "--data", given.folder, "--reference", given.reference, *options)


@pytest.mark.parametrize("engine", installed())
def test_prints_statistics(edgecnn, committed: Bundle, on_a_device: OnADevice, engine: str):
    result = compared(edgecnn, committed, on_a_device, "--engine", engine)
    assert result.code == 0, result.err
    for line in (
        "handwriting test, 385 images:",
        "top-1 98.96% [97.36%, 99.60%], reference 98.70% [97.00%, 99.44%]",
        "drop -0.26 points [-1.46, +0.73]: 0 right answers lost, 1 won; McNemar's exact test p = 1",
        "agreement 99.74% [98.54%, 99.95%]",
        "no class has a drop",
        "KL divergence",
        "1 answer differs; with margins, the largest margin of the reference first:",
        "test/0/0007.png  0 by ",
        "a logit moves by ",
    ):
        assert line in result.out, result.out
    assert "more (--json" not in result.out


def test_json_contains_every_figure(edgecnn, committed: Bundle, on_a_device: OnADevice):
    found = json.loads(compared(edgecnn, committed, on_a_device, "--engine", "onnxruntime", "--json").out)
    agreement, mates = found["agreement"], found["batch_mates"]
    assert agreement["agreement"]["right"] == 384
    assert (agreement["drop"]["lost"], agreement["drop"]["won"], agreement["mcnemar_p"]) == (0, 1, 1)
    assert agreement["kl_nats"] > 0
    (flip,) = agreement["flips"]
    assert (flip["image"], flip["index"], flip["answer"], flip["target"]) == ("test/0/0007.png", 0, "0", "0")
    assert min(flip["margin"], flip["reference_margin"]) > 0
    assert mates["images"] == 64
    settings = [(run["threads"], run["batch"]) for run in mates["runs"]]
    assert settings == [(threads, b) for threads in sorted({1, usable_cores()}) for b in (1, 3, 8, 32)]
    assert all(run["max_difference"] <= mates["limit"] for run in mates["runs"])


def test_json_contains_all_flips(edgecnn, committed: Bundle, on_a_device: OnADevice):
    recorded = read_recorded(on_a_device.reference)
    logits = recorded.logits.copy()
    logits[:30] *= -1
    dataclasses.replace(recorded, logits=logits).write(on_a_device.reference)
    text = compared(edgecnn, committed, on_a_device)
    assert text.code == 3
    assert "agreement with the reference is" in text.error
    found = json.loads(compared(edgecnn, committed, on_a_device, "--json").out)["agreement"]
    assert len(found["flips"]) == found["flipped"] > 10
    margins = [flip["reference_margin"] for flip in found["flips"]]
    assert margins == sorted(margins, reverse=True)
    assert text.out.count(".png  ") == 10
    assert f"and {found['flipped'] - 10} more" in text.out


def test_exits_with_3_if_answers_depend_on_the_batch(edgecnn, sociable: tuple[Bundle, Path]):
    bundle, reference = sociable
    command = ("verify", bundle.path, "--engine", "onnxruntime")
    assert edgecnn(*command).code == 0  # the self-test uses the batches of the proof
    result = edgecnn(*command, "--data", "digits", "--reference", reference)
    assert result.code == 3
    assert "answers depend on batch mates, batch size or threads: at batch 1 " in result.error
    assert "agreement 100.00%" in result.out
    assert "does NOT hold" in result.out


def test_exits_with_3_if_logits_are_not_finite(
    edgecnn, committed: Bundle, on_a_device: OnADevice, monkeypatch: pytest.MonkeyPatch
):
    from edgecnn.runtime.engines.onnxruntime import OnnxRuntimeSession

    real = OnnxRuntimeSession.run

    def broken(self: OnnxRuntimeSession, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        logits = real(self, images, out=out)
        logits[:, 3] = np.nan
        return logits

    monkeypatch.setattr(OnnxRuntimeSession, "run", broken)
    result = compared(edgecnn, committed, on_a_device, "--engine", "onnxruntime")
    assert (result.code, "not finite" in result.error) == (3, True)
    assert "    the logits are not finite\n" in result.out
    assert "a logit is not finite (allowed" in result.out
    assert "  3, not finite" in result.out


def test_names_the_class_with_a_fault(
    edgecnn, committed: Bundle, on_a_device: OnADevice, monkeypatch: pytest.MonkeyPatch
):
    from edgecnn.runtime.engines.onnxruntime import OnnxRuntimeSession

    real = OnnxRuntimeSession.run

    def without_threes(self: OnnxRuntimeSession, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        logits = real(self, images, out=out)
        logits[:, 3] = -100
        return logits

    monkeypatch.setattr(OnnxRuntimeSession, "run", without_threes)
    monkeypatch.setenv("COLUMNS", "80")
    text = compared(edgecnn, committed, on_a_device, "--engine", "onnxruntime", "--json").out
    found = json.loads(text)["agreement"]["per_class"]
    assert found["worst"]["label"] == "3"
    assert found["worst"]["drop"]["low"] > 0.5
    assert [each["label"] for each in found["classes"]] == [str(digit) for digit in range(10)]
    assert sum(each["images"] for each in found["classes"]) == 385
    assert sum(each["lost"] for each in found["classes"] if each["label"] != "3") == 0
    result = compared(edgecnn, committed, on_a_device, "--engine", "onnxruntime")
    assert result.code == 3
    assert "    worst class 3: drop +" in result.out
    assert f" on {found['worst']['drop']['images']} images" in " ".join(result.out.split())
    assert max(map(len, result.out.splitlines())) <= 80


def test_record_contains_the_statistics(edgecnn, committed: Bundle, on_a_device: OnADevice, tmp_path: Path):
    result = compared(edgecnn, committed, on_a_device, "--record", tmp_path / "r.json", "--json")
    assert json.loads(result.out) == json.loads((tmp_path / "r.json").read_text())
    found = read_record(tmp_path / "r.json")
    assert found is not None
    assert found.agreement is not None
    assert found.batch_mates is not None
    assert found.agreement.flips[0].image == "test/0/0007.png"


def test_replaces_a_record_of_an_older_version(edgecnn, committed: Bundle, on_a_device: OnADevice, tmp_path: Path):
    place = tmp_path / "r.json"
    assert compared(edgecnn, committed, on_a_device, "--record", place).code == 0
    earlier = json.loads(place.read_text())
    del earlier["agreement"], earlier["batch_mates"]
    place.write_text(json.dumps(earlier))
    result = compared(edgecnn, committed, on_a_device, "--record", place, "--strict")
    assert (result.code, result.err) == (0, "")
    assert json.loads(place.read_text())["agreement"]["flipped"] == 1


def test_simulation_skips_batch_mates(edgecnn, committed: Bundle, on_a_device: OnADevice):
    result = compared(edgecnn, committed, on_a_device, "--simulate", "avx2", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["agreement"]["agreement"]["images"] == 385
    assert found["batch_mates"] is None


def test_tests_the_requested_threads(edgecnn, committed: Bundle, on_a_device: OnADevice):
    result = compared(edgecnn, committed, on_a_device, "--threads", 3, "--json")
    threads = {run["threads"] for run in json.loads(result.out)["batch_mates"]["runs"]}
    assert threads == {1, 3, usable_cores()}
