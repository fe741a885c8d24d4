"""Training images: read once, shared between processes, and reproducible."""

import threading

import numpy as np
import pytest
import torch

from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import SourceError
from edgecnn.pipeline.data.images import ArrayImages
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.training.images import Batches, TrainingImages, plain_batches, with_statistics
from edgecnn.pipeline.training.recipes import TrainingOptions

PLAIN = Preprocessing("RGB", Resize((8, 8)), None, (0.0,) * 3, (1.0,) * 3)
OPTIONS = TrainingOptions(batch_size=16, rotation=10, zoom=0.1, flip=True)


def split(count: int = 37) -> Split:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return Split("noise", "train", ArrayImages(pixels), np.arange(count) % 5)


def batches(images: TrainingImages, **options: int) -> Batches:
    return Batches(images, with_statistics(PLAIN, images), OPTIONS, **options)


def test_statistics_cover_all_pixels():
    pixels = split().all_pixels(PLAIN) / 255
    found = with_statistics(PLAIN, TrainingImages(split(), PLAIN))
    np.testing.assert_allclose(found.mean, pixels.mean(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(found.std, pixels.std(axis=(0, 1, 2)), atol=1e-6)


def test_batches_do_not_depend_on_the_cache():
    kept, read_again = TrainingImages(split(), PLAIN), TrainingImages(split(), PLAIN, cache_mib=0)
    for one, two in zip(batches(kept).epoch(1), batches(read_again).epoch(1), strict=True):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.targets, two.targets)


def test_an_epoch_has_every_image_once():
    found = list(batches(TrainingImages(split(), PLAIN)).epoch(0))
    assert [batch.whole for batch in found] == [13, 12, 12]  # not 16, 16 and 5: batch norm needs large batches
    assert sorted(torch.cat([batch.targets for batch in found]).tolist()) == sorted((np.arange(37) % 5).tolist())


def test_epochs_are_different_and_repeatable():
    images = TrainingImages(split(), PLAIN)
    first, again, second = (torch.cat([b.images for b in batches(images).epoch(number)]) for number in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_do_not_depend_on_threads(threads: int):
    images = TrainingImages(split(), PLAIN)
    one = torch.cat([batch.images for batch in batches(images).epoch(0)])
    assert torch.equal(one, torch.cat([batch.images for batch in batches(images, threads=threads).epoch(0)]))


def test_two_processes_share_each_batch():
    images = TrainingImages(split(), PLAIN)
    parts = [batches(images, rank=rank, world=2).epoch(3) for rank in (0, 1)]
    for whole, first, second in zip(batches(images).epoch(3), *parts, strict=True):
        assert first.whole == second.whole == len(whole.images)
        torch.testing.assert_close(torch.cat([first.images, second.images]), whole.images)
        assert torch.equal(torch.cat([first.targets, second.targets]), whole.targets)


def test_an_aborted_epoch_leaves_no_threads():
    epoch = batches(TrainingImages(split(), PLAIN)).epoch(0)
    next(epoch)
    epoch.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_plain_batches_keep_the_order():
    images = TrainingImages(split(), PLAIN)
    found = torch.cat([batch.images for batch in plain_batches(images, PLAIN)])
    np.testing.assert_allclose(found.permute(0, 2, 3, 1).numpy(), split().all_pixels(PLAIN) / 255, atol=1e-6)


def test_rejects_images_of_one_colour():
    grey = Split("grey", "train", ArrayImages(np.full((8, 8, 8, 3), 7, np.uint8)), np.zeros(8, np.int64))
    with pytest.raises(SourceError, match="the same single colour"):
        with_statistics(PLAIN, TrainingImages(grey, PLAIN))
