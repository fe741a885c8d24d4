"""Read all images of a training."""

from dataclasses import dataclass, replace
from functools import partial

from edgecnn.bundle.decoding import MODES
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.pipeline.training.images import TrainingImages, with_statistics
from edgecnn.pipeline.training.planning import Plan
from edgecnn.progress import Progress


@dataclass(frozen=True)
class Pictures:
    """All images of a training, and their preprocessing."""

    training: TrainingImages
    validation: TrainingImages | None
    test: TrainingImages
    preprocessing: Preprocessing


def read_images(plan: Plan, cache_mib: int, max_bad: float, progress: Progress) -> Pictures:
    """Read all images. The normalisation comes from the initial weights, or else from the training images.

    Raises:
        SourceError: too many images cannot be decoded, or all have the same single colour.
    """
    channels = plan.network.in_channels
    plain = Preprocessing(MODES[channels], Resize(plan.network.image_size), None, (0.0,) * channels, (1.0,) * channels)
    read = partial(TrainingImages, preprocessing=plain, cache_mib=cache_mib, max_bad=max_bad, progress=progress)
    training = read(plan.training, stage="reading training")
    validation = read(plan.validation, stage="reading validation") if len(plan.validation) else None
    test = read(plan.test, stage="reading test")
    if plan.beginning is None:
        return Pictures(training, validation, test, with_statistics(plain, training))
    theirs = plan.beginning.preprocessing
    return Pictures(training, validation, test, replace(plain, mean=theirs.mean, std=theirs.std))
