"""Train a network on a data source and write its checkpoint."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from edgecnn.bundle.limits import MAX_BAD
from edgecnn.bundle.manifest import FileEntry, utc_now
from edgecnn.errors import CheckpointError, UsageError
from edgecnn.files.folder import remove_folder
from edgecnn.pipeline.data.source import DataSource
from edgecnn.pipeline.models.registry import build
from edgecnn.pipeline.training.checkpoint import (
    FORMAT,
    RECORD,
    CheckpointRecord,
    Epoch,
    read_resume,
    unfinished,
    write_checkpoint,
)
from edgecnn.pipeline.training.distributed import ProcessRank, join
from edgecnn.pipeline.training.following import Following, following
from edgecnn.pipeline.training.images import Batches, plain_batches
from edgecnn.pipeline.training.optimization import choose_device
from edgecnn.pipeline.training.planning import Plan, plan_training
from edgecnn.pipeline.training.rank import local_rank, writes_results
from edgecnn.pipeline.training.reading import Pictures, read_images
from edgecnn.pipeline.training.recipes import CACHE_MIB, TrainingOptions
from edgecnn.pipeline.training.run import Run, better
from edgecnn.pipeline.training.scalars import scalars
from edgecnn.pipeline.training.transfer import begin_with, freeze
from edgecnn.pipeline.user_network import named_architecture
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent

OnEpoch = Callable[[int, Epoch], None]
"""Takes an epoch's number, from 1, and its metrics."""


@dataclass(frozen=True)
class Trained:
    """The result of training: the checkpoint's folder and digest, and its top-1 on the test split.

    `best_epoch` is the epoch of the kept weights, from 1 to `epochs`. `duration_s` is the wall time of all epochs.
    `writes` is true in the process that writes the checkpoint.
    """

    checkpoint: Path
    digest: str
    test_top1: float
    test_images: int
    best_epoch: int
    epochs: int
    duration_s: float
    writes: bool = True

    def __repr__(self) -> str:
        return (
            f"<Trained {self.checkpoint}: top-1 {self.test_top1:.2%} on {self.test_images} test images, best epoch "
            f"{self.best_epoch} of {self.epochs}>"
        )


def train(
    architecture: str,
    source: DataSource,
    out: Path,
    *,
    source_name: str,
    options: TrainingOptions,
    weights: str | None = None,
    weights_key: str | None = None,
    resume: bool = False,
    force: bool = False,
    cache_mib: int = CACHE_MIB,
    max_bad: float = MAX_BAD,
    on_warning: Callable[[str], None] | None = None,
    on_note: Callable[[str], None] = lambda text: None,
    progress: Progress = silent,
    on_epoch: OnEpoch = lambda number, epoch: None,
    tensorboard: Path | None = None,
    plot: Path | None = None,
    watch: int | None = None,
) -> Trained:
    """Train a network and write its checkpoint folder.

    After each epoch, `OUT.unfinished` has the best weights so far and the state to resume from. `out` is written
    atomically after the last epoch. With several processes, only one writes files and calls `on_warning` and
    `on_epoch`.

    Args:
        architecture: the word that names the network; see `named_architecture`.
        source: training and test images.
        out: the checkpoint folder.
        source_name: the source as the user named it. `export` opens it again.
        options: training options.
        weights: initial weights: a checkpoint, a file, or a torchvision weights entry. None: random weights.
        weights_key: the entry of a file that has several sets of weights.
        resume: continue an interrupted run with the same options. A finished run is returned unchanged.
        force: replace an existing checkpoint and discard an unfinished one.
        cache_mib: keep images in memory up to this size, else read them in each epoch.
        max_bad: largest share of damaged images that are skipped in each split.
        on_warning: called before training with each problem of the images. None disables the checks.
        on_note: called before training with each decision: the splits, the image size, the estimated time.
        progress: called after each step.
        on_epoch: called after each epoch with its metrics.
        tensorboard: folder for TensorBoard scalars of each epoch.
        plot: file for a plot of loss, accuracy and learning rate of all epochs; it ends in `.png`, `.svg` or `.pdf`.
        watch: port of a live page on the loopback; 0 is any free port. `on_note` gets its address.

    Raises:
        UsageError: the architecture is unknown or does not accept the images, `out` already exists, `resume` is
            given with other options, or the port of `watch` is in use.
        SourceError: images are missing or damaged.
        CheckpointError: `weights` or the unfinished run does not match the network.
        TrainingError: the loss is not finite, or another process has exited.
        ModuleNotFoundError: `tensorboard` is given, but TensorBoard is not installed.
    """
    device = choose_device(options, local_rank())
    is_first = writes_results()
    with following(plot if is_first else None, watch if is_first else None, on_note) as follow:
        plan = plan_training(
            named_architecture(architecture).name,
            source,
            out,
            source_name,
            options,
            weights=weights,
            weights_key=weights_key,
            resume=resume,
            force=force,
            on_warning=on_warning,
            on_note=on_note,
        )
        if plan.begun is not None and plan.begun.record.test_top1 is not None:
            follow.end(plan.begun.record)
            return replace(_trained(out, plan.begun.record, plan.begun.digest), writes=is_first)
        with join(device) as job, scalars(tensorboard if job.writes else None) as write:
            if options.batch_size < job.world:
                raise UsageError(
                    f"--batch-size {options.batch_size} is smaller than the {job.world} processes: raise it"
                )
            shown = _Shown(follow.progress(progress), on_note, (write, on_epoch), follow)
            images = read_images(plan, cache_mib, max_bad, shown.progress)
            run = _run(plan, device=device, job=job)
            best, record = _epochs(run, plan, images, out=out, shown=shown)
            run.network.load_state_dict(best)
            _, top1 = run.measure(plain_batches(images.test, images.preprocessing))
            record = replace(record, test_top1=top1, created=utc_now())
            digest = ""
            if job.writes:
                digest = write_checkpoint(out, record, best, force=force)
                remove_folder(unfinished(out), marker=RECORD)
                follow.end(record)
            job.wait()
            return replace(_trained(out, record, digest), writes=job.writes)


@dataclass(frozen=True)
class _Shown:
    """Where a training reports what it does: callbacks, its plot and its live page."""

    progress: Progress
    on_note: Callable[[str], None]
    on_epoch: tuple[OnEpoch, ...]
    follow: Following


def _record(plan: Plan, images: Pictures, run: Run) -> CheckpointRecord:
    return CheckpointRecord(
        format=FORMAT,
        network=plan.network,
        labels=plan.labels,
        preprocessing=images.preprocessing,
        source=plan.source_name,
        training=plan.everything.reference(),
        validation=plan.validation.reference() if images.validation else None,
        test=plan.test.reference(),
        test_top1=None,
        options=plan.options,
        compute=run.compute,
        beginning=None if plan.beginning is None else plan.beginning.digest,
        history=(),
        best_epoch=0,
        created=utc_now(),
        versions=versions(),
        weights=FileEntry("", 0),
        skipped_test=len(plan.test) - len(images.test),
    )


def _epochs(
    run: Run, plan: Plan, images: Pictures, *, out: Path, shown: _Shown
) -> tuple[dict[str, torch.Tensor], CheckpointRecord]:
    """Train until the last epoch. Return the best weights, and the record with its history."""
    record, options, job, held_out = _record(plan, images, run), plan.options, run.job, images.validation
    threads = max(1, torch.get_num_threads() // 2)
    batches = Batches(images.training, record.preprocessing, options, rank=job.rank, world=job.world, threads=threads)
    history: list[Epoch] = []
    best, best_epoch = run.weights(), 0
    if plan.begun is not None:
        run.restore(read_resume(unfinished(out)))
        history, best, best_epoch = list(plan.begun.record.history), plan.begun.state, plan.begun.record.best_epoch
    record = replace(record, history=tuple(history), best_epoch=best_epoch)
    total = batches.steps * options.epochs
    if job.writes:
        shown.follow.epoch(record, run, images)
    if len(history) < options.epochs:
        with contextlib.closing(batches.epoch(len(history))) as first:
            step_s = run.step_s(next(first))
        if job.writes:
            left = batches.steps * (options.epochs - len(history))
            shown.on_note(f"{left} steps of about {step_s:.2g} s: about {_duration(left * step_s)} without validation")
    for number in range(len(history), options.epochs):
        start, waited = time.perf_counter(), batches.waited_s
        loss, accuracy = run.epoch(number, batches, lambda step, note: shown.progress("training", step, total, note))
        checked = (None, None) if held_out is None else run.measure(plain_batches(held_out, record.preprocessing))
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
            shown.follow.epoch(record, run, images)
        shown.progress("training", (number + 1) * batches.steps, total)
        for call in shown.on_epoch if job.writes else ():
            call(number + 1, epoch)
    return best, record


def _duration(seconds: float) -> str:
    """Return a time in words, with about two digits."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def _run(plan: Plan, *, device: torch.device, job: ProcessRank) -> Run:
    torch.manual_seed(plan.options.seed)
    module = build(plan.network)
    if plan.beginning is not None:
        begin_with(plan.beginning, module, plan.network)
    if plan.options.freeze:
        freeze(module, plan.network)
    return Run(module, plan.options, device=device, job=job)


def _trained(out: Path, record: CheckpointRecord, digest: str) -> Trained:
    if record.test_top1 is None:
        raise CheckpointError("this training is not finished: continue it with --resume")
    images = record.test.images - record.skipped_test
    return Trained(out, digest, record.test_top1, images, record.best_epoch, record.options.epochs, record.duration_s)
