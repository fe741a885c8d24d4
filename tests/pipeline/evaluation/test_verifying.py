"""`verify` with data sources and the simulation, as a function."""

from pathlib import Path

import numpy as np
import pytest
from device import OnADevice
from PIL import Image

from edgecnn.bundle.store import Bundle
from edgecnn.errors import OverlapWarning, SourceError, UsageError
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.evaluation.verifying import verify
from edgecnn.pipeline.quantization.calibration_config import check_unseen
from edgecnn.runtime.engines.engine import SessionOptions


def test_compares_with_a_checkpoint(int8_bundle: Bundle, checkpoint_path: Path):
    found = verify(int8_bundle, data="digits", reference=checkpoint_path)
    found.raise_for_failures()
    assert found.record.data == open_source("digits").split("test").reference()


def test_data_and_reference_need_each_other(committed: Bundle, on_a_device: OnADevice):
    with pytest.raises(UsageError, match="--data and --reference must be used together"):
        verify(committed, data=str(on_a_device.folder))
    with pytest.raises(UsageError, match="--data and --reference must be used together"):
        verify(committed, reference=on_a_device.reference)


def test_rejects_other_classes(committed: Bundle, on_a_device: OnADevice, tmp_path: Path):
    for part in ("train", "test"):
        (tmp_path / "pets" / part / "cat").mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "pets" / part / "cat" / "1.png")
    with pytest.raises(SourceError, match=r"pets has images of cat, which .* does not have: expected 0, 1, 2"):
        verify(committed, data=str(tmp_path / "pets"), reference=on_a_device.reference)


def test_rejects_a_bundle_as_reference(committed: Bundle):
    with pytest.raises(UsageError, match="is a bundle: expected a checkpoint"):
        verify(committed, data="digits", reference=committed.path)


def test_rejects_simulating_an_fp32_bundle(fp32_bundle: Bundle):
    with pytest.raises(UsageError, match="is FP32"):
        verify(fp32_bundle, simulate=True)


def test_rejects_simulating_with_engine_options(committed: Bundle):
    with pytest.raises(UsageError, match="does not use an engine"):
        verify(committed, simulate=True, options=SessionOptions(threads=1))


def test_warns_of_calibration_images(int8_bundle: Bundle):
    digits = open_source("digits")
    check_unseen(int8_bundle, digits.split("test"))
    with pytest.warns(OverlapWarning, match="was calibrated with 300 of these"):
        check_unseen(int8_bundle, digits.split("train"))
