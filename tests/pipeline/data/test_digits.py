"""The digits data set: the same splits on every machine and in every release."""

import numpy as np
import pytest

from edgecnn.errors import SourceError
from edgecnn.pipeline.data.digits import Digits

# Calibration records and proofs contain these digests; a change invalidates them.
DIGESTS = {
    "train": "b1091d903bc53caed4d19ea1b7a39c5fea32496557a6d7d4fa91cab5fff1ae81",
    "test": "a1a2ce7805c1972a29c6f786a0c60b77e5b9aa133b221175e4509ff80514bac4",
}


@pytest.mark.parametrize(("name", "count"), [("train", 1412), ("test", 385)])
def test_splits_never_change(name: str, count: int):
    split = Digits().split(name)
    assert len(split) == len(split.images) == count
    assert split.digest == DIGESTS[name]
    assert (split.source, split.name) == ("digits", name)


def test_splits_are_a_partition():
    train, test = Digits().split("train"), Digits().split("test")
    sides = [{split.images.digest(i) for i in range(len(split))} for split in (train, test)]
    assert not sides[0] & sides[1]
    assert len(train) + len(test) == 1797


def test_both_splits_have_every_digit():
    for name in ("train", "test"):
        targets = Digits().split(name).targets
        assert targets.dtype == np.int64
        assert set(targets) == set(range(10))
    assert Digits().labels == tuple("0123456789")


def test_strokes_are_bright_on_black():
    split = Digits().split("test")
    pixels = np.stack([np.asarray(split.images[i]) for i in range(len(split))])
    assert (pixels.dtype, pixels.shape) == (np.uint8, (385, 8, 8))
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert len(np.unique(pixels)) == 17
    assert np.median(pixels[:, :, 0]) == 0


def test_rejects_an_unknown_split():
    with pytest.raises(SourceError, match="train and test, found 'val'"):
        Digits().split("val")
