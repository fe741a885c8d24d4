"""Train a network on a data source and write its checkpoint."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from edgecnn.bundle.decoding import Mode
from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.bundle.manifest import FileEntry, Network, utc_now
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import CheckpointError, OutputExists, SourceError, UsageError
from edgecnn.files.folder import check_output, remove_folder
from edgecnn.pipeline.data.checks import complaints
from edgecnn.pipeline.data.source import DataSource, Split
from edgecnn.pipeline.models.registry import build, check_network, get_architecture
from edgecnn.pipeline.reference import Reference
from edgecnn.pipeline.training.checkpoint import (
    FORMAT,
    RECORD,
    Checkpoint,
    CheckpointRecord,
    Epoch,
    read_checkpoint,
    read_resume,
    unfinished,
    write_checkpoint,
)
from edgecnn.pipeline.training.distributed import Job, join, local_rank
from edgecnn.pipeline.training.images import Batches, Images, plain_batches, with_statistics
from edgecnn.pipeline.training.optimization import choose_device
from edgecnn.pipeline.training.recipes import CACHE_MIB, TrainingOptions, differing
from edgecnn.pipeline.training.run import Run, better
from edgecnn.pipeline.training.transfer import begin_with, freeze, open_beginning
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent

OnEpoch = Callable[[int, Epoch], None]
"""Told of every epoch's figures, with its number from 1."""


@dataclass(frozen=True)
class Trained:
    """What training has come to.

    Attributes:
        digest: of the checkpoint.
        test_top1: fraction of right answers on the test split.
        test_images: how many images that has.
        best_epoch: whose weights were kept, from 1.
        duration_s: wall time of all epochs.
        writes: false in the processes that only help another one.
    """

    digest: str
    test_top1: float
    test_images: int
    best_epoch: int
    duration_s: float
    writes: bool = True


def train(
    architecture: str,
    source: DataSource,
    out: Path,
    *,
    source_name: str,
    options: TrainingOptions,
    weights: str | None = None,
    resume: bool = False,
    force: bool = False,
    cache_mib: int = CACHE_MIB,
    on_complaint: Callable[[str], None] | None = None,
    progress: Progress = silent,
    on_epoch: OnEpoch = lambda number, epoch: None,
) -> Trained:
    """Train a network and write its checkpoint folder.

    After every epoch `OUT.unfinished` holds the best weights so far and what the next epoch needs; `out` appears,
    whole, when the last one is done.

    Args:
        architecture: name in the registry.
        source: images to train and to test on.
        out: the checkpoint folder.
        source_name: the source as the user named it; `export` opens it again.
        options: how to train.
        weights: what to start from: a checkpoint, a file, or a torchvision weights entry; None starts from nothing.
        resume: go on where an interrupted run of the same options stopped; a finished one is returned as it is.
        force: replace an existing checkpoint, and give up an unfinished one.
        cache_mib: images are kept in memory up to this size; above, they are read again each epoch.
        on_complaint: told of what a user should know of the images before the training; None looks for nothing.
        progress: told of every step.
        on_epoch: told of every epoch's figures.

    Raises:
        UsageError: no such architecture, it cannot take such images, `out` stands already, or `resume` with other
            options.
        SourceError: images are missing or damaged.
        CheckpointError: `weights` or the unfinished run do not fit.
        TrainingError: the loss is not a number any more, or another process has ended.
    """
    device = choose_device(options, local_rank())
    beginning = None if weights is None else open_beginning(architecture, weights, options)
    if options.freeze and beginning is None:
        raise UsageError("--freeze trains the last layer alone: name the --weights that the others have")
    described = _describe(architecture, source, options, beginning)
    _check_place(out, resume=resume, force=force)
    if len(source.labels) < 2:
        raise SourceError(f"{source_name} has {len(source.labels)} class: a classifier needs at least two")
    everything, test = source.split("train"), source.split("test")
    if on_complaint is not None:
        for complaint in complaints(source, everything, test):
            on_complaint(complaint)
    place = next((place for place in (out, unfinished(out)) if (place / RECORD).is_file()), None) if resume else None
    found = None if place is None else read_checkpoint(place)
    if found is not None:
        differences = _differences(
            found.record, described, options, training=everything, test=test, beginning=beginning
        )
        if differences:
            what = "; ".join(differences)
            raise UsageError(f"{place} was begun otherwise ({what}): use its options, or start over")
    if found is not None and found.record.test_top1 is not None:
        return _trained(found.record, found.digest)
    plain = _plain(described)
    with join(device) as job:
        if options.batch_size < job.world:
            raise UsageError(f"--batch-size {options.batch_size} leaves nothing for some of {job.world} processes")
        training, validation = everything.parted(options.validation)
        _check_classes(training, source.labels)
        read = partial(Images, preprocessing=plain, cache_mib=cache_mib, progress=progress)
        images = read(training, stage="reading training")
        held_out = read(validation, stage="reading validation") if len(validation) else None
        test_images = read(test, stage="reading test")
        preprocessing = _normalised(plain, images, beginning)
        run = _run(described, options, beginning, device=device, job=job)
        record = CheckpointRecord(
            format=FORMAT,
            network=described,
            labels=source.labels,
            preprocessing=preprocessing,
            source=source_name,
            training=everything.reference(),
            validation=validation.reference() if held_out else None,
            test=test.reference(),
            test_top1=None,
            options=options,
            compute=run.compute,
            beginning=None if beginning is None else beginning.digest,
            history=(),
            best_epoch=0,
            created=utc_now(),
            versions=versions(),
            weights=FileEntry("", 0),
        )
        best, record = _epochs(
            run,
            record,
            found,
            out=out,
            images=images,
            held_out=held_out,
            progress=progress,
            on_epoch=on_epoch,
        )
        run.network.load_state_dict(best)
        _, top1 = run.measure(plain_batches(test_images, preprocessing))
        record = replace(record, test_top1=top1, created=utc_now())
        digest = ""
        if job.writes:
            digest = write_checkpoint(out, record, best, force=force)
            remove_folder(unfinished(out), marker=RECORD)
        job.wait()
        return replace(_trained(record, digest), writes=job.writes)


def _epochs(
    run: Run,
    record: CheckpointRecord,
    found: Checkpoint | None,
    *,
    out: Path,
    images: Images,
    held_out: Images | None,
    progress: Progress,
    on_epoch: OnEpoch,
) -> tuple[dict[str, torch.Tensor], CheckpointRecord]:
    """Train from where `found` stopped to the last epoch; returns the best weights and the record with its history."""
    options, job = record.options, run.job
    batches = Batches(
        images,
        record.preprocessing,
        options,
        rank=job.rank,
        world=job.world,
        threads=max(1, torch.get_num_threads() // 2),
    )
    history: list[Epoch] = []
    best, best_epoch = run.weights(), 0
    if found is not None:
        run.restore(read_resume(unfinished(out)))
        history, best, best_epoch = list(found.record.history), found.state, found.record.best_epoch
    total = batches.steps * options.epochs
    for number in range(len(history), options.epochs):
        start, waited = time.perf_counter(), batches.waited_s
        loss, accuracy = run.epoch(number, batches, lambda step, note: progress("training", step, total, note))
        checked = run.measure(plain_batches(held_out, record.preprocessing)) if held_out else (None, None)
        epoch = Epoch(
            loss=loss,
            accuracy=accuracy,
            validation_loss=checked[0],
            validation_top1=checked[1],
            learning_rate=float(run.optimizer.param_groups[0]["lr"]),
            duration_s=time.perf_counter() - start,
            waited_s=batches.waited_s - waited,
        )
        run.check(epoch, number)
        if not history or better(epoch, history[best_epoch - 1]):
            best, best_epoch = run.weights(), number + 1
        history.append(epoch)
        record = replace(record, history=tuple(history), best_epoch=best_epoch, created=utc_now())
        if job.writes:
            write_checkpoint(unfinished(out), record, best, resume=run.state(), force=True)
        progress("training", (number + 1) * batches.steps, total)
        on_epoch(number + 1, epoch)
    return best, replace(record, history=tuple(history), best_epoch=best_epoch)


def _describe(architecture: str, source: DataSource, options: TrainingOptions, beginning: Reference | None) -> Network:
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


def _plain(network: Network) -> Preprocessing:
    """Return how images are read for a network: resized, not yet normalised."""
    channels = network.in_channels
    mode: Mode = "L" if channels == 1 else "RGB"
    return Preprocessing(mode, Resize(network.image_size), None, (0.0,) * channels, (1.0,) * channels)


def _normalised(plain: Preprocessing, images: Images, beginning: Reference | None) -> Preprocessing:
    """Normalise by the images' own statistics, or by those that the weights to start from have learnt with."""
    if beginning is None:
        return with_statistics(plain, images)
    theirs = beginning.preprocessing
    return replace(plain, mean=theirs.mean, std=theirs.std)


def _check_place(out: Path, *, resume: bool, force: bool) -> None:
    """Refuse to write over what stands, an unfinished run included: hours may be in it."""
    begun = unfinished(out)
    check_outside_bundles(out)
    check_output(out, marker=RECORD, force=force or (resume and (out / RECORD).is_file()))
    check_output(begun, marker=RECORD, force=True)
    if begun.exists() and not resume and not force:
        raise OutputExists(f"{begun} holds an unfinished training: go on with --resume, or give it up with --force")


def _check_classes(training: Split, labels: tuple[str, ...]) -> None:
    counts = torch.bincount(torch.from_numpy(training.known_targets()), minlength=len(labels))
    for label, count in zip(labels, counts.tolist(), strict=True):
        if count < 2:
            raise SourceError(
                f"{training.source} has {count} training image{'' if count == 1 else 's'} of the class {label}: "
                f"expected at least 2; add some or remove the class"
            )


def _differences(
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


def _run(
    network: Network, options: TrainingOptions, beginning: Reference | None, *, device: torch.device, job: Job
) -> Run:
    torch.manual_seed(options.seed)
    module = build(network)
    if beginning is not None:
        begin_with(beginning, module, network)
    if options.freeze:
        freeze(module, network.architecture)
    return Run(module, options, device=device, job=job)


def _trained(record: CheckpointRecord, digest: str) -> Trained:
    if record.test_top1 is None:
        raise CheckpointError("this training is not finished")
    return Trained(digest, record.test_top1, record.test.images, record.best_epoch, record.duration_s)
