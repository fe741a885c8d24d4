"""Tests of the self-test file: round trips, tolerance and invalid content."""

import io
from pathlib import Path

import numpy as np
import pytest

from edgecnn.bundle.self_test import SelfTest, spread, tolerance_from
from edgecnn.bundle.store import Bundle


def test_write_and_read_are_inverse(committed: Bundle):
    self_test = committed.self_test()
    again = SelfTest.from_bytes(self_test.to_bytes())
    assert again.to_bytes() == self_test.to_bytes()
    assert np.array_equal(again.images, self_test.images)
    assert again.engine_logits.keys() == self_test.engine_logits.keys()


def test_committed_self_test_is_complete(committed: Bundle):
    self_test = committed.self_test()
    assert self_test.images.shape == (32, 32, 32, 1)
    assert [encoded.format for encoded in self_test.encoded] == ["png", "jpeg", "png", "jpeg"]
    assert set(self_test.engine_logits) == {"onnxruntime", "openvino"}
    assert len(set(self_test.logits.argmax(axis=1))) == 10


def test_tolerance_follows_the_best_engine():
    logits = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    engines = {"good": logits + np.float32(0.01), "saturating": logits + np.float32(3)}
    assert tolerance_from(logits, engines) == pytest.approx(0.02, rel=1e-4)


def test_tolerance_is_at_least_a_thousandth_of_spread():
    logits = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    assert tolerance_from(logits, {"exact": logits}) == pytest.approx(1e-3 * spread(logits))


def test_spread_of_constant_logits_is_zero():
    assert spread(np.tile(np.array([[1.0, 5.0, -3.0]], np.float32), (7, 1))) == 0


def test_rejects_a_pickled_array(tmp_path: Path):
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "executed",))  # type: ignore[return-value]

    buffer = io.BytesIO()
    np.savez(buffer, images=np.array([Payload()], dtype=object))
    with pytest.raises(ValueError, match="plain arrays"):
        SelfTest.from_bytes(buffer.getvalue())
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 broken"])
def test_rejects_bytes_that_are_not_npz(content: bytes):
    with pytest.raises(ValueError, match="npz"):
        SelfTest.from_bytes(content)


def test_rejects_a_self_test_without_logits():
    buffer = io.BytesIO()
    np.savez(buffer, images=np.zeros((1, 2, 2, 1), np.uint8))
    with pytest.raises(ValueError, match="logits"):
        SelfTest.from_bytes(buffer.getvalue())


CRAFTED = {
    "no image": lambda a: a.update(images=a["images"][:0], logits=a["logits"][:0]),
    "images in float": lambda a: a.update(images=a["images"].astype(np.float32)),
    "logits of fewer images": lambda a: a.update(logits=a["logits"][:-1]),
    "logits of one number": lambda a: a.update({"logits": np.float32(1)}),
    "logits not finite": lambda a: a["logits"].fill(np.nan),
    "zero tolerance": lambda a: a.update(tolerance=np.float64(0)),
    "list as tolerance": lambda a: a.update(tolerance=np.zeros(3)),
    "encoded image of another size": lambda a: a.update({"png.0.pixels": a["png.0.pixels"][1:]}),
    "encoded image without logits": lambda a: a.pop("png.0.logits"),
    "encoded image without an index": lambda a: a.update({"png.content": a["png.0.content"]}),
    "another format": lambda a: a.update({"gif.9.content": a["png.0.content"]}),
    "unknown array": lambda a: a.update(surprise=np.zeros(1)),
}


@pytest.mark.parametrize("craft", CRAFTED)
def test_rejects_invalid_arrays(craft: str, committed: Bundle):
    with np.load(committed.path / "self_test.npz") as archive:
        arrays = {name: archive[name].copy() for name in archive.files}
    CRAFTED[craft](arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - each has another message
        SelfTest.from_bytes(buffer.getvalue())
    assert "\n" not in str(raised.value)
