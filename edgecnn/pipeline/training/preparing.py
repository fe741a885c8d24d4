"""What training decides and checks before the first epoch: the network, the preprocessing, the place, the classes."""

from dataclasses import replace
from pathlib import Path

import torch

from edgecnn.bundle.decoding import Mode
from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.bundle.manifest import Network
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import OutputExists, SourceError, UsageError
from edgecnn.files.folder import check_output
from edgecnn.pipeline.data.source import DataSource, Split
from edgecnn.pipeline.models.registry import check_network, get_architecture
from edgecnn.pipeline.reference import Reference
from edgecnn.pipeline.training.checkpoint import RECORD, CheckpointRecord, unfinished
from edgecnn.pipeline.training.images import Images, with_statistics
from edgecnn.pipeline.training.recipes import TrainingOptions, differing


def describe(architecture: str, source: DataSource, options: TrainingOptions, beginning: Reference | None) -> Network:
    """Say which network is built; it has as many channels as the images, or as the weights that it starts from."""
    size = options.image_size or get_architecture(architecture).image_size
    channels = 1 if source.mode == "L" else 3
    if beginning is not None:
        theirs = beginning.network.in_channels
        if theirs < channels:
            raise UsageError(f"the weights are of a network for grey images, {source.name} has colour")
        channels = theirs
    network = Network(architecture, len(source.labels), channels, (size, size), options.stem)
    check_network(network)
    return network


def plain_preprocessing(network: Network) -> Preprocessing:
    """Return how images are read for a network: resized, not yet normalised."""
    channels = network.in_channels
    mode: Mode = "L" if channels == 1 else "RGB"
    return Preprocessing(mode, Resize(network.image_size), None, (0.0,) * channels, (1.0,) * channels)


def normalised(plain: Preprocessing, images: Images, beginning: Reference | None) -> Preprocessing:
    """Normalise by the images' own statistics, or by those that the weights to start from have learnt with."""
    if beginning is None:
        return with_statistics(plain, images)
    theirs = beginning.preprocessing
    return replace(plain, mean=theirs.mean, std=theirs.std)


def check_place(out: Path, *, resume: bool, force: bool) -> None:
    """Refuse to write over what stands, an unfinished run included: hours may be in it."""
    begun = unfinished(out)
    check_outside_bundles(out)
    check_outside_bundles(out)
    check_output(out, marker=RECORD, force=force or (resume and (out / RECORD).is_file()))
    check_output(begun, marker=RECORD, force=True)
    if begun.exists() and not resume and not force:
        raise OutputExists(f"{begun} holds an unfinished training: go on with --resume, or give it up with --force")


def check_classes(training: Split, labels: tuple[str, ...]) -> None:
    """Check that every class has at least two training images.

    Raises:
        SourceError: one has fewer.
    """
    counts = torch.bincount(torch.from_numpy(training.known_targets()), minlength=len(labels))
    for label, count in zip(labels, counts.tolist(), strict=True):
        if count < 2:
            raise SourceError(
                f"{training.source} has {count} training image{'' if count == 1 else 's'} of the class {label}: "
                f"expected at least 2; add some or remove the class"
            )


def differences(
    theirs: CheckpointRecord,
    network: Network,
    options: TrainingOptions,
    *,
    training: Split,
    test: Split,
    beginning: Reference | None,
) -> list[str]:
    """Say in what a run that was begun differs from what is asked for now."""
    return differing(theirs.options, options) + [
        f"{what} {before} → {now}"
        for what, before, now in (
            ("architecture", theirs.network.architecture, network.architecture),
            ("training images", theirs.training.digest[:12], training.digest[:12]),
            ("test images", theirs.test.digest[:12], test.digest[:12]),
            ("--weights", theirs.beginning, None if beginning is None else beginning.digest),
        )
        if before != now
    ]
