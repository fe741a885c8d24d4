"""Train a network on a data source and write its checkpoint."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from edgecnn.bundle.manifest import FileEntry, Network, utc_now
from edgecnn.errors import CheckpointError, SourceError, UsageError
from edgecnn.files.folder import remove_folder
from edgecnn.pipeline.data.checks import complaints
from edgecnn.pipeline.data.source import DataSource, Split
from edgecnn.pipeline.models.registry import build
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
from edgecnn.pipeline.training.distributed import Job, join, local_rank, writes_results
from edgecnn.pipeline.training.images import Batches, Images, plain_batches
from edgecnn.pipeline.training.optimization import choose_device
from edgecnn.pipeline.training.preparing import (
    check_classes,
    check_place,
    describe,
    differences,
    normalised,
    plain_preprocessing,
)
from edgecnn.pipeline.training.recipes import CACHE_MIB, TrainingOptions
from edgecnn.pipeline.training.run import Run, better
from edgecnn.pipeline.training.scalars import scalars
from edgecnn.pipeline.training.transfer import begin_with, freeze, open_beginning
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent

OnEpoch = Callable[[int, Epoch], None]
"""Takes an epoch's number, from 1, and its figures."""


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
    tensorboard: Path | None = None,
) -> Trained:
    """Train a network and write its checkpoint folder.

    After every epoch `OUT.unfinished` holds the best weights so far and what the next epoch needs; `out` appears,
    whole, when the last one is done. Of several processes only one calls `on_complaint` and `on_epoch`, and writes
    files.

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
        on_complaint: called, before the training, with each problem of the images; None looks for none.
        progress: called after every step.
        on_epoch: called after every epoch with its figures.
        tensorboard: a folder for the figures of every epoch, as TensorBoard scalars.

    Raises:
        UsageError: no such architecture, it cannot take such images, `out` stands already, or `resume` with other
            options.
        SourceError: images are missing or damaged.
        CheckpointError: `weights` or the unfinished run do not fit.
        TrainingError: the loss is not a number any more, or another process has ended.
        ModuleNotFoundError: `tensorboard` is given, and TensorBoard is not installed.
    """
    device = choose_device(options, local_rank())
    beginning = None if weights is None else open_beginning(architecture, weights, options)
    if options.freeze and beginning is None:
        raise UsageError("--freeze trains the last layer alone: name the --weights that the others have")
    described = describe(architecture, source, options, beginning)
    check_place(out, resume=resume, force=force)
    if len(source.labels) < 2:
        raise SourceError(f"{source_name} has {len(source.labels)} class: a classifier needs at least two")
    everything, test = source.split("train"), source.split("test")
    if on_complaint is not None and writes_results():
        for complaint in complaints(source, everything, test):
            on_complaint(complaint)
    found = None
    if resume:
        found = _begun(out, described, options, training=everything, test=test, beginning=beginning)
    if found is not None and found.record.test_top1 is not None:
        return replace(_trained(found.record, found.digest), writes=writes_results())
    plain = plain_preprocessing(described)
    with join(device) as job, scalars(tensorboard if job.writes else None) as write:
        if options.batch_size < job.world:
            raise UsageError(f"--batch-size {options.batch_size} leaves nothing for some of {job.world} processes")
        training, validation = everything.parted(options.validation)
        check_classes(training, source.labels)
        read = partial(Images, preprocessing=plain, cache_mib=cache_mib, progress=progress)
        images = read(training, stage="reading training")
        held_out = read(validation, stage="reading validation") if len(validation) else None
        test_images = read(test, stage="reading test")
        preprocessing = normalised(plain, images, beginning)
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
            on_epoch=(write, on_epoch),
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


def _begun(
    out: Path,
    network: Network,
    options: TrainingOptions,
    *,
    training: Split,
    test: Split,
    beginning: Reference | None,
) -> Checkpoint | None:
    """Return the run to go on with, finished or not; None if there is none.

    Raises:
        UsageError: it was begun with other options or images.
    """
    place = next((place for place in (out, unfinished(out)) if (place / RECORD).is_file()), None)
    if place is None:
        return None
    found = read_checkpoint(place)
    different = differences(found.record, network, options, training=training, test=test, beginning=beginning)
    if different:
        raise UsageError(f"{place} was begun otherwise ({'; '.join(different)}): use its options, or start over")
    return found


def _epochs(
    run: Run,
    record: CheckpointRecord,
    found: Checkpoint | None,
    *,
    out: Path,
    images: Images,
    held_out: Images | None,
    progress: Progress,
    on_epoch: tuple[OnEpoch, ...],
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
        for call in on_epoch if job.writes else ():
            call(number + 1, epoch)
    return best, replace(record, history=tuple(history), best_epoch=best_epoch)


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
