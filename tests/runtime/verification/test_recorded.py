"""Recorded logits of the reference, for devices without PyTorch."""

from pathlib import Path

import numpy as np
import pytest

from edgecnn.errors import EdgecnnError
from edgecnn.runtime.verification.recorded import RecordedLogits, read_recorded

LOGITS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_reads_back_recorded_logits(tmp_path: Path):
    RecordedLogits("o" * 64, "c" * 64, "d" * 64, LOGITS).write(tmp_path / "new" / "r.npz")
    found = read_recorded(tmp_path / "new" / "r.npz")
    assert (found.reference, found.checkpoint, found.images_digest) == ("o" * 64, "c" * 64, "d" * 64)
    assert np.array_equal(found.logits, LOGITS)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r.npz"]


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"logits": LOGITS},
        {"logits": LOGITS.astype(np.float64), "format": 1, "reference": "", "checkpoint": "", "images_digest": ""},
        {"logits": LOGITS * np.nan, "format": 1, "reference": "", "checkpoint": "", "images_digest": ""},
        {"logits": np.array([{}], dtype=object), "format": 1, "reference": "", "checkpoint": "", "images_digest": ""},
    ],
)
def test_rejects_other_arrays(tmp_path: Path, arrays: dict[str, np.ndarray]):
    np.savez(tmp_path / "r.npz", **arrays)
    with pytest.raises(EdgecnnError, match=r"contains no recorded logits: create them with `edgecnn evaluate"):
        read_recorded(tmp_path / "r.npz")


def test_rejects_other_and_missing_files(tmp_path: Path):
    (tmp_path / "r.npz").write_bytes(b"hello")
    with pytest.raises(EdgecnnError, match="contains no recorded logits"):
        read_recorded(tmp_path / "r.npz")
    with pytest.raises(EdgecnnError, match="cannot read"):
        read_recorded(tmp_path / "missing.npz")


def test_rejects_a_later_format(tmp_path: Path):
    np.savez(tmp_path / "r.npz", logits=LOGITS, format=2, reference="", checkpoint="", images_digest="")
    with pytest.raises(EdgecnnError, match="format 2, this edgecnn reads format 1"):
        read_recorded(tmp_path / "r.npz")
