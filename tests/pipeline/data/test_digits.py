"""The handwritten digits: the same images on the same side, on every machine and in every release."""

import numpy as np
import pytest

from edgecnn.errors import SourceError
from edgecnn.pipeline.data.digits import Digits

# Records of calibration and proof name these: a change here makes all of them strangers.
DIGESTS = {
    "train": "b1091d903bc53caed4d19ea1b7a39c5fea32496557a6d7d4fa91cab5fff1ae81",
    "test": "a1a2ce7805c1972a29c6f786a0c60b77e5b9aa133b221175e4509ff80514bac4",
}


@pytest.mark.parametrize(("name", "count"), [("train", 1412), ("test", 385)])
def test_a_split_is_the_same_for_ever(name: str, count: int):
    split = Digits().split(name)
    assert len(split) == len(split.images) == count
    assert split.digest == DIGESTS[name]
    assert (split.source, split.name) == ("digits", name)


def test_train_and_test_share_no_image_and_together_are_all():
    train, test = Digits().split("train"), Digits().split("test")
    sides = [{split.images.digest(i) for i in range(len(split))} for split in (train, test)]
    assert not sides[0] & sides[1]
    assert len(train) + len(test) == 1797


def test_both_splits_hold_every_digit():
    for name in ("train", "test"):
        targets = Digits().split(name).targets
        assert targets.dtype == np.int64
        assert set(targets) == set(range(10))
    assert Digits().labels == tuple("0123456789")


def test_images_are_bright_strokes_on_black_over_the_whole_range():
    split = Digits().split("test")
    pixels = np.stack([np.asarray(split.images[i]) for i in range(len(split))])
    assert (pixels.dtype, pixels.shape) == (np.uint8, (385, 8, 8))
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert len(np.unique(pixels)) == 17
    assert np.median(pixels[:, :, 0]) == 0


def test_another_split_is_refused():
    with pytest.raises(SourceError, match="train and test, not 'val'"):
        Digits().split("val")
