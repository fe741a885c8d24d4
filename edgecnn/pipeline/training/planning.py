"""Plan a training: check the network, images, output and run to resume before the long work starts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.bundle.manifest import DataReference, Network
from edgecnn.errors import OutputExists, SourceError, UsageError
from edgecnn.files.folder import check_output
from edgecnn.pipeline.data.checks import dataset_warnings
from edgecnn.pipeline.data.held_out import training_and_validation, unreserved
from edgecnn.pipeline.data.source import DataSource, Split
from edgecnn.pipeline.importing.describing import run_once
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.models.registry import check_network, get_architecture
from edgecnn.pipeline.torch_reference import TorchReference
from edgecnn.pipeline.training.checkpoint import RECORD, Checkpoint, read_checkpoint, unfinished
from edgecnn.pipeline.training.recipes import TrainingOptions, differing
from edgecnn.pipeline.training.sizing import fit_to_images, sides
from edgecnn.pipeline.training.transfer import open_beginning


@dataclass(frozen=True)
class Plan:
    """The network to train and its images.

    `everything` is the training split without reserved images: `training` and `validation`, which may be empty.
    `beginning` is the reference with the initial weights. `begun` is the run to resume.
    """

    network: Network
    labels: tuple[str, ...]
    source_name: str
    options: TrainingOptions
    everything: Split
    training: Split
    validation: Split
    test: Split
    beginning: TorchReference | None
    begun: Checkpoint | None


def plan_training(
    architecture: str,
    source: DataSource,
    out: Path,
    source_name: str,
    options: TrainingOptions,
    *,
    weights: str | None,
    weights_key: str | None,
    resume: bool,
    force: bool,
    on_warning: Callable[[str], None] | None,
    on_note: Callable[[str], None],
) -> Plan:
    """Check all inputs before training and return the plan. See `train` for the arguments and errors."""
    options, fitted = fit_to_images(architecture, source, options, has_weights=weights is not None)
    if fitted is not None:
        on_note(fitted)
    if weights is None and weights_key is not None:
        raise UsageError("--key chooses an entry of a weights file: add --weights FILE")
    beginning = None if weights is None else open_beginning(architecture, weights, options, key=weights_key)
    if options.freeze and beginning is None:
        raise UsageError("--freeze trains the last layer only: pass the weights of the other layers with --weights")
    network = _describe(architecture, source, options, beginning)
    _check_place(out, resume=resume, force=force)
    if len(source.labels) < 2:
        raise SourceError(f"{source_name} has {len(source.labels)} class: expected at least two")
    whole, test = source.split("train"), source.split("test")
    everything = unreserved(whole, options.reserve)
    if on_warning is not None:
        for warning in dataset_warnings(source, everything, test):
            on_warning(warning)
    training, validation = training_and_validation(source, everything, options.validation)
    _check_classes(training, source.labels)
    on_note(_described(source, training, validation, test, reserved=len(whole) - len(everything)))
    plan = Plan(
        network, source.labels, source_name, options, everything, training, validation, test, beginning, begun=None
    )
    return replace(plan, begun=_begun(plan, out)) if resume else plan


def _described(source: DataSource, training: Split, validation: Split, test: Split, *, reserved: int) -> str:
    """Return a line with the number of images of each split, and where they come from."""
    folders: dict[str, str] = getattr(source, "folders", {})
    places = {name: f" ({folder}/)" if folder != "." else "" for name, folder in folders.items()}
    taken = "" if "validation" in places else " taken from them"
    return (
        f"images of {source.name}: {len(training)} to train{places.get('train', '')}, "
        f"{len(validation)}{taken} to choose the epoch{places.get('validation', '')}, "
        f"{len(test)} to test{places.get('test', '')}{f', {reserved} reserved' if reserved else ''}"
    )


def _describe(
    architecture: str, source: DataSource, options: TrainingOptions, beginning: TorchReference | None
) -> Network:
    """Return the network to build. Its channels come from the initial weights, or else from the images."""
    assert options.image_size is not None
    assert options.stem is not None
    known = get_architecture(architecture)
    takes_alpha = known.kind == "module" and known.in_channels == 4
    channels = 4 if takes_alpha else 1 if source.mode == "L" else 3
    if beginning is not None:
        if beginning.network.in_channels < channels:
            raise UsageError(
                f"the weights expect grey images, {source.name} has colour images: pass weights for colour images"
            )
        channels = beginning.network.in_channels
    size = sides(options.image_size)
    network = Network(architecture, len(source.labels), channels, size, options.stem)
    check_network(network)
    if known.kind == "network":
        return network
    found = run_once(known, network, WeightsOptions(image_size=size))
    if found.num_classes != network.num_classes:
        raise UsageError(
            f"{architecture} returns {found.num_classes} outputs, {source.name} has {network.num_classes} classes: "
            f"give the factory a parameter num_classes"
        )
    return found


def _check_place(out: Path, *, resume: bool, force: bool) -> None:
    """Check that training does not overwrite a checkpoint, or an unfinished run, which may have taken hours."""
    begun = unfinished(out)
    check_outside_bundles(out)
    check_output(out, marker=RECORD, force=force or (resume and (out / RECORD).is_file()))
    check_output(begun, marker=RECORD, force=True)
    if begun.exists() and not resume and not force:
        raise OutputExists(f"{begun} has an unfinished training: continue it with --resume, or discard it with --force")


def _check_classes(training: Split, labels: tuple[str, ...]) -> None:
    counts = np.bincount(training.known_targets(), minlength=len(labels))
    for label, count in zip(labels, counts.tolist(), strict=True):
        if count < 2:
            raise SourceError(
                f"{training.source} has {count} training image{'' if count == 1 else 's'} of the class {label}: "
                f"expected at least 2; add some or remove the class"
            )


def _digest(images: DataReference | Split | None) -> str | None:
    """Return the beginning of the digest of some images; None if there are none."""
    count = 0 if images is None else images.images if isinstance(images, DataReference) else len(images)
    return images.digest[:12] if images is not None and count else None


def _begun(plan: Plan, out: Path) -> Checkpoint | None:
    """Read the run to resume, finished or not; None if there is none.

    Raises:
        UsageError: the run has other options, images or weights.
    """
    place = next((place for place in (out, unfinished(out)) if (place / RECORD).is_file()), None)
    if place is None:
        return None
    begun = read_checkpoint(place)
    theirs = begun.record
    differences = differing(theirs.options, plan.options) + [
        f"{what} {before} → {now}"
        for what, before, now in (
            ("architecture", theirs.network.architecture, plan.network.architecture),
            ("training images", _digest(theirs.training), _digest(plan.everything)),
            ("validation images", _digest(theirs.validation), _digest(plan.validation)),
            ("test images", _digest(theirs.test), _digest(plan.test)),
            ("--weights", theirs.beginning, None if plan.beginning is None else plan.beginning.digest),
        )
        if before != now
    ]
    if differences:
        raise UsageError(
            f"{place} was started with other options ({'; '.join(differences)}): use its options, or start over"
        )
    return begun
