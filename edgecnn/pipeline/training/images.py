"""Training images: checked once, kept in memory if they fit, and prepared as batches in advance."""

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from edgecnn.bundle.limits import MAX_BAD
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import ImageError, SourceError
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.training.augmentation import draw, move
from edgecnn.pipeline.training.recipes import CACHE_MIB, TrainingOptions
from edgecnn.pipeline.transforms import network_input
from edgecnn.progress import Progress, silent

_CHUNK = 64
_LEAST_STD = 1e-3
"""Less than a quarter of a grey level."""

_EVALUATION_BATCH = 256


class TrainingImages:
    """A split's images as pixels, uint8 [N, H, W, C], from memory or, if they do not fit, from files.

    `levels` counts the pixels of each value, int64 [C, 256].
    """

    def __init__(
        self,
        split: Split,
        preprocessing: Preprocessing,
        *,
        cache_mib: int = CACHE_MIB,
        max_bad: float = MAX_BAD,
        stage: str = "reading",
        progress: Progress = silent,
    ) -> None:
        """Read every image once, to find the damaged images before training. At most the share `max_bad` is skipped.

        Warns:
            SourceWarning: damaged images are skipped.

        Raises:
            SourceError: too many images cannot be decoded.
        """
        self._preprocessing = preprocessing
        self._kept: np.ndarray | None = None
        self.levels = np.zeros((preprocessing.channels, 256), np.int64)
        count, read = len(split), 0
        errors: dict[int, ImageError] = {}
        for start in range(0, count, _CHUNK):
            progress(stage, start, count)
            pixels, failed = split.decoded(range(start, min(start + _CHUNK, count)), preprocessing)
            errors |= failed
            if not pixels:
                continue
            chunk = np.stack(pixels)
            if read == 0 and chunk.nbytes // len(chunk) * count <= cache_mib * 2**20:
                self._kept = np.empty((count, *chunk.shape[1:]), np.uint8)
            if self._kept is not None:
                self._kept[read : read + len(chunk)] = chunk
            read += len(chunk)
            for channel in range(preprocessing.channels):
                self.levels[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
        progress(stage, count, count)
        self.split = split.without(errors, max_bad=max_bad, hint=", or raise --max-bad")
        self.targets = torch.from_numpy(self.split.known_targets())

    def __len__(self) -> int:
        return len(self.split)

    def take(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return some images, uint8 [N, H, W, C]."""
        return self.split.pixels(indices, self._preprocessing) if self._kept is None else self._kept[indices]


def with_statistics(plain: Preprocessing, images: TrainingImages) -> Preprocessing:
    """Return the preprocessing with the mean and standard deviation of the pixels, per channel, scaled to [0, 1].

    Raises:
        SourceError: all images have the same single colour.
    """
    values = np.arange(256) / 255
    shares = images.levels / images.levels.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(axis=1))
    if std.max() < 1e-9:
        raise SourceError("all training images have the same single colour: pass real images")
    # Do not scale an empty channel: this would amplify its noise.
    return replace(
        plain,
        mean=tuple(round(float(value), 6) for value in mean),
        std=tuple(1.0 if value < _LEAST_STD else round(float(value), 6) for value in std),
    )


@dataclass(frozen=True)
class Batch:
    """This process's part of one batch.

    Attributes:
        images: normalised and augmented, float32 [n, C, H, W], channels last in memory.
        targets: int64 [n].
        whole: images of the batch over all processes.
    """

    images: torch.Tensor
    targets: torch.Tensor
    whole: int


class Batches:
    """The augmented batches of an epoch, prepared by threads while the network computes.

    The content of a batch depends only on the seed, the epoch and the step, not on the number of processes.
    `waited_s` is the total time that the network waited for data.
    """

    def __init__(
        self,
        images: TrainingImages,
        preprocessing: Preprocessing,
        options: TrainingOptions,
        *,
        rank: int = 0,
        world: int = 1,
        threads: int = 1,
    ) -> None:
        self._images, self._preprocessing, self._options = images, preprocessing, options
        self._rank, self._world, self._threads = rank, world, threads
        self.steps = -(-len(images) // options.batch_size)
        self.waited_s = 0.0

    def epoch(self, number: int) -> Generator[Batch]:
        """Yield the batches of an epoch, numbered from 0."""
        order = np.random.default_rng((self._options.seed, number)).permutation(len(self._images))
        # Batches have nearly equal sizes, because batch norm fails on a last batch of one image.
        parts = deque(enumerate(np.array_split(order, self.steps)))
        with ThreadPoolExecutor(self._threads, thread_name_prefix="batches") as pool:
            coming: deque[Future[Batch]] = deque()
            try:
                while parts or coming:
                    while parts and len(coming) <= self._threads:
                        step, indices = parts.popleft()
                        coming.append(pool.submit(self._make, indices, number, step))
                    start = time.perf_counter()
                    batch = coming.popleft().result()
                    self.waited_s += time.perf_counter() - start
                    yield batch
            finally:
                pool.shutdown(cancel_futures=True)

    def _make(self, indices: np.ndarray, epoch: int, step: int) -> Batch:
        generator = torch.Generator().manual_seed(derived_seed(self._options.seed, epoch, step))
        start, stop = (len(indices) * place // self._world for place in (self._rank, self._rank + 1))
        mine = indices[start:stop]
        images = network_input(self._images.take(mine), self._preprocessing)
        maps = draw(len(indices), (images.shape[-2], images.shape[-1]), self._options, generator)[start:stop]
        moved = move(images, maps).contiguous(memory_format=torch.channels_last)
        return Batch(moved, self._images.targets[torch.from_numpy(mine)], len(indices))


def plain_batches(images: TrainingImages, preprocessing: Preprocessing) -> Iterator[Batch]:
    """Yield all images in order, without augmentation."""
    for start in range(0, len(images), _EVALUATION_BATCH):
        indices = np.arange(start, min(start + _EVALUATION_BATCH, len(images)))
        inputs = network_input(images.take(indices), preprocessing).contiguous(memory_format=torch.channels_last)
        yield Batch(inputs, images.targets[torch.from_numpy(indices)], len(indices))


def derived_seed(*numbers: int) -> int:
    """Return a 63-bit seed derived from numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
