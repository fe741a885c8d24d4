"""`edgecnn.train`: train or fine-tune a network."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.bundle.finding import CHECKPOINT
from edgecnn.bundle.limits import MAX_BAD
from edgecnn.errors import SourceWarning
from edgecnn.progress import Progress, silent
from edgecnn.stages.describing import check_names, names_of

if TYPE_CHECKING:
    from edgecnn.pipeline.training.checkpoint import Epoch
    from edgecnn.pipeline.training.loop import Trained


def train(
    network: str,
    data: str | Path,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    resume: bool = False,
    force: bool = False,
    strict: bool = False,
    cache_mib: int | None = None,
    max_bad: float = MAX_BAD,
    tensorboard: Path | None = None,
    plot: Path | None = None,
    watch: int | None = None,
    on_warning: Callable[[str], None] | None = None,
    on_note: Callable[[str], None] = lambda text: None,
    on_epoch: "Callable[[int, int, Epoch], None]" = lambda number, epochs, epoch: None,
    progress: Progress = silent,
    **options: Any,
) -> "Trained":
    """Train a network and write a checkpoint folder.

    Args:
        network: an architecture such as `resnet18`, `torchvision:NAME`, `timm:NAME`, or `file.py:factory`.
        data: labelled images: `digits`, `fashion-mnist`, `mnist`, `cifar10`, or an image folder.
        out: the checkpoint folder to write.
        weights: start from a checkpoint, a state dict, or a torchvision weights entry.
        weights_key: the entry of a file with several sets of weights.
        resume: continue an interrupted run with the same options.
        force: replace an existing checkpoint, and discard an unfinished one.
        strict: turn warnings about the images into errors.
        cache_mib: keep images in memory up to this size in MiB. The default is 2048.
        max_bad: largest share of damaged images that are skipped.
        tensorboard: folder for TensorBoard scalars.
        plot: file for a plot of loss, accuracy and learning rate; it ends in `.png`, `.svg` or `.pdf`.
        watch: port of a live page on the loopback; 0 is any free port. `on_note` gets its address.
        on_warning: called with each problem of the images. The default issues a `SourceWarning`.
        on_note: called with each decision before training: the splits, the image size, the estimated time.
        on_epoch: called after each epoch with its number from 1, the number of epochs, and its metrics.
        progress: called after each step.
        options: fields of `TrainingOptions`, such as `epochs=5`. The recipe of the network sets the others.

    Returns:
        The checkpoint and its top-1 on the test split.

    Raises:
        UsageError: an option is not valid, `out` already exists, or the port of `watch` is in use.
        SourceError: images are missing or damaged.
        CheckpointError: `weights` do not match the network.
        TrainingError: the loss is not finite.
    """
    from edgecnn.files.folder import check_output
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.training.recipes import CACHE_MIB, TrainingOptions, recipe

    check_names(options, names_of(TrainingOptions))
    out = Path(out)
    if not resume:
        check_output(out, marker=CHECKPOINT, force=force)
    source = open_source(str(data), strict=strict)
    chosen = recipe(network, source.name, **options)
    from edgecnn.pipeline.training.loop import train as run  # imports PyTorch, after the checks

    return run(
        network,
        source,
        out,
        source_name=str(data),
        options=chosen,
        weights=None if weights is None else str(weights),
        weights_key=weights_key,
        resume=resume,
        force=force,
        cache_mib=CACHE_MIB if cache_mib is None else cache_mib,
        max_bad=max_bad,
        on_warning=on_warning or (lambda text: warnings.warn(text, SourceWarning, stacklevel=2)),
        on_note=on_note,
        on_epoch=lambda number, epoch: on_epoch(number, chosen.epochs, epoch),
        progress=progress,
        tensorboard=tensorboard,
        plot=plot,
        watch=watch,
    )
