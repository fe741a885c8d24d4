"""`edgecnn train`: train a network and write a checkpoint."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.bundle.limits import MAX_BAD
from edgecnn.cli.completion import complete_architecture
from edgecnn.cli.options import (
    PATH,
    dataclass_options,
    force_option,
    json_option,
    labelled_data_option,
    out_option,
    strict_option,
)
from edgecnn.cli.output import emit, percent, progress_bar, warn
from edgecnn.cli.subjects import known_architecture
from edgecnn.pipeline.training.recipes import CACHE_MIB, TrainingOptions

if TYPE_CHECKING:
    from edgecnn.pipeline.training.checkpoint import Epoch


@click.command()
@click.argument("architecture", metavar="ARCH", callback=known_architecture, shell_complete=complete_architecture)
@labelled_data_option("digits, fashion-mnist, mnist, cifar10, or an image folder.")
@out_option("The checkpoint folder to write.")
@click.option("--weights", metavar="FILE|NAME", help="Fine-tune a checkpoint, a state dict, or torchvision weights.")
@click.option("--key", "weights_key", metavar="NAME", help="The entry of a --weights file, such as model_ema.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run with the same options.")
@click.option("--tensorboard", type=PATH, metavar="DIR", help="Write scalars for TensorBoard.")
@click.option(
    "--cache-mib",
    type=click.IntRange(min=0),
    default=CACHE_MIB,
    show_default=True,
    help="Cache images in memory up to this size. Larger data is read again in each epoch.",
)
@click.option(
    "--max-bad",
    type=click.FloatRange(0, 1),
    default=MAX_BAD,
    show_default=True,
    help="Largest share of damaged images that are skipped. At least one is, unless 0.",
)
@dataclass_options(TrainingOptions, defaults=False)
@force_option
@strict_option
@json_option
def train(architecture: str, source: str, out: Path, strict: bool, as_json: bool, **options: Any) -> None:
    """Train ARCH on labelled images and write a checkpoint folder.

    Defaults come from the recipe of ARCH and SOURCE. The best epoch is selected on validation images taken from the
    training split. Top-1 is measured once, on the test split. To train with several processes or machines, use
    `torchrun --nproc-per-node 2 -m edgecnn train ...`.
    """
    from edgecnn.pipeline.training.rank import writes_results
    from edgecnn.stages.training import train as run

    is_silent = not writes_results()  # a process of `torchrun` other than the first
    with progress_bar(hidden=is_silent) as progress:
        trained = run(
            architecture,
            source,
            out,
            strict=strict,
            on_warning=partial(warn, strict=strict),
            on_note=(lambda note: None) if is_silent else partial(click.echo, err=True),
            progress=progress,
            on_epoch=lambda number, epochs, epoch: click.echo(_line(number, epochs, epoch), err=True),
            **options,
        )
    if trained.writes:
        text = f"{out}: top-1 {percent(trained.test_top1)} on {trained.test_images} test images"
        text += f", best epoch {trained.best_epoch} of {trained.epochs}, {trained.duration_s:.0f} s"
        emit(vars(trained) | {"checkpoint": str(out)}, text, as_json=as_json)


def _line(number: int, epochs: int, epoch: "Epoch") -> str:
    """Format an epoch's figures for the log."""
    text = f"epoch {number}/{epochs}: loss {epoch.loss:.4f}, accuracy {percent(epoch.accuracy)}"
    if epoch.validation_top1 is not None:
        text += f", validation {percent(epoch.validation_top1)}"
    return f"{text}, {epoch.duration_s:.1f} s, of which {epoch.waited_s / epoch.duration_s:.1%} waiting for data"
