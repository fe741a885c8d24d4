"""`verify` as a function: results, records and errors."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from device import OnADevice

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, ImageError, ProofFailed, UsageError
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.comparing import ReferenceSession
from edgecnn.runtime.verification.record import default_path, read_record
from edgecnn.runtime.verification.verify import prove, verify


@pytest.fixture
def images(on_a_device: OnADevice) -> Split:
    return open_source(str(on_a_device.folder)).split("test")


def test_records_a_proof_that_holds(committed: Bundle):
    found = verify(committed, engine="onnxruntime")
    found.raise_for_failures()
    assert (found.failures, found.record.holds) == ((), True)
    assert read_record(default_path(committed, "onnxruntime")) == found.record
    assert (found.record_warning, found.record_error) == (None, None)


def test_records_a_failed_proof(lying_bundle: Bundle, tmp_path: Path):
    found = verify(lying_bundle, record=tmp_path / "r.json")
    assert read_record(tmp_path / "r.json") == found.record
    assert not found.record.holds
    with pytest.raises(ProofFailed, match=r"the proof of .* does not hold on .* here: .* \(and \d+ more\)"):
        found.raise_for_failures()


def test_rejects_an_unwritable_record(committed: Bundle, lying_bundle: Bundle, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    named = tmp_path / "file" / "r.json"
    with pytest.raises(EdgecnnError, match="cannot read"):
        verify(committed, record=named).raise_for_failures()
    found = verify(lying_bundle, record=named)
    assert found.record_warning is not None
    with pytest.raises(ProofFailed):
        found.raise_for_failures()


def test_warns_if_the_default_is_unwritable(committed: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    found = verify(committed)
    found.raise_for_failures()
    assert "cannot write /proc/none" in (found.record_warning or "")
    with pytest.raises(EdgecnnError, match="cannot write /proc/none"):
        verify(committed, strict=True).raise_for_failures()


def test_warns_about_a_stale_record(committed: Bundle, lying_bundle: Bundle, tmp_path: Path):
    verify(lying_bundle, record=tmp_path / "r.json")
    found = verify(committed, record=tmp_path / "r.json")
    found.raise_for_failures()
    assert lying_bundle.digest[:12] in (found.record_warning or "")
    assert verify(committed, record=tmp_path / "r.json").record_warning is None


def test_compares_with_recorded_logits(committed: Bundle, on_a_device: OnADevice, images: Split):
    found = verify(committed, images=images, reference=on_a_device.reference)
    found.raise_for_failures()
    assert found.record.reference == "c" * 64
    assert found.record.data == images.reference()
    assert found.record.agreement is not None
    assert found.record.agreement.flipped == 1
    assert found.record.batch_mates is not None


def test_compares_with_a_session(committed: Bundle, images: Split):
    with contextlib.closing(open_session(committed)) as session:
        reference = ReferenceSession("itself", committed.manifest.reference.digest, "d" * 64, session)
        found = verify(committed, images=images, reference=reference)
    assert found.record.reference == "d" * 64
    assert found.record.comparison is not None
    assert found.record.comparison.agreement == 1


def test_rejects_another_reference(committed: Bundle, images: Split):
    with contextlib.closing(open_session(committed)) as session:
        reference = ReferenceSession("another", "e" * 64, "d" * 64, session)
        with pytest.raises(UsageError, match="another is not the reference of"):
            verify(committed, images=images, reference=reference)


def test_rejects_logits_of_other_images(committed: Bundle, on_a_device: OnADevice, images: Split):
    with pytest.raises(UsageError, match=r"recorded on other images than the test split of handwriting"):
        verify(committed, images=images.subset(range(9)), reference=on_a_device.reference)


def test_requires_a_reference_for_images(committed: Bundle, images: Split):
    with pytest.raises(UsageError, match="must be given together"):
        verify(committed, images=images)


def test_simulation_writes_no_record(committed: Bundle, tmp_path: Path):
    with contextlib.closing(open_session(committed)) as session:
        found = verify(committed, simulation=session)
        with pytest.raises(UsageError, match="only predicts"):
            verify(committed, simulation=session, record=tmp_path / "r.json")
    assert found.record.holds
    assert not (tmp_path / "state").exists()


def test_prove_returns_the_result(committed: Bundle, lying_bundle: Bundle):
    assert prove(committed).holds
    with pytest.raises(ProofFailed, match="a logit is off"):
        prove(lying_bundle)


def test_reads_images_with_the_bundles_preprocessing(committed: Bundle, on_a_device: OnADevice, images: Split):
    class Counting:
        """Images that count how many were read."""

        read = 0
        targets = None

        def __len__(self) -> int:
            return len(images)

        def without(self, errors: object, /) -> "Counting":
            return self

        def decoded(self, indices: object, preprocessing: object, /) -> tuple[list[np.ndarray], dict[int, ImageError]]:
            return list(self.pixels(indices, preprocessing)), {}

        def pixels(self, indices: object, preprocessing: object, /) -> np.ndarray:
            assert preprocessing == committed.manifest.preprocessing
            found = images.pixels(indices, preprocessing)  # type: ignore[arg-type]
            self.read += len(found)
            return found

        name_of, reference = staticmethod(images.name_of), staticmethod(images.reference)

    counting = Counting()
    found = verify(committed, images=counting, reference=on_a_device.reference)
    assert counting.read == len(images) + 64
    assert found.record.agreement is not None
    assert found.record.agreement.top1 is None
