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
    plot_option,
    strict_option,
)
from edgecnn.cli.output import emit, progress_bar, warn
from edgecnn.cli.subjects import known_architecture
from edgecnn.pipeline.training.recipes import CACHE_MIB, TrainingOptions
from edgecnn.runtime.rates import percent

if TYPE_CHECKING:
    from edgecnn.pipeline.training.checkpoint import Epoch


@click.command()
@click.argument("architecture", metavar="ARCH", callback=known_architecture, shell_complete=complete_architecture)
@labelled_data_option("digits, fashion-mnist, mnist, cifar10, or an image folder.")
@out_option("The checkpoint folder to write.")
@click.option("--weights", metavar="FILE|NAME", help="Fine-tune a checkpoint, a state dict, or torchvision weights.")
@click.option("--key", "weights_key", metavar="NAME", help="The entry of a --weights file, such as model_ema.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run with the same options.")
@plot_option("Write a plot of loss, accuracy and learning rate.")
@click.option(
    "--watch",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Show the training on a live page, http://127.0.0.1:PORT/. 0 is any free port.",
)
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
            on_epoch=EpochTable().row,
            **options,
        )
    if trained.writes:
        text = f"{out}: top-1 {percent(trained.test_top1)} on {trained.test_images} test images"
        text += f", best epoch {trained.best_epoch} of {trained.epochs}, {trained.duration_s:.0f} s"
        emit(vars(trained) | {"checkpoint": str(out)}, text, as_json=as_json)


class EpochTable:
    """Prints the figures of each epoch as a row of a table of less than 80 columns."""

    _COLUMNS = (("loss", 8), ("accuracy", 8), ("validation", 10), ("time", 8), ("waiting for data", 16))

    def __init__(self) -> None:
        self._has_header = False

    def row(self, number: int, epochs: int, epoch: "Epoch") -> None:
        """Print a row, the first one below the header."""
        width = len(f"epoch {epochs}/{epochs}")
        if not self._has_header:
            self._print(" " * width, [name for name, _ in self._COLUMNS])
        self._has_header = True
        validation = "-" if epoch.validation_top1 is None else percent(epoch.validation_top1)
        waited = f"{epoch.waited_s / epoch.duration_s:.1%}"
        figures = [f"{epoch.loss:.4f}", percent(epoch.accuracy), validation, f"{epoch.duration_s:.1f} s", waited]
        self._print(f"epoch {number}/{epochs}".ljust(width), figures)

    def _print(self, first: str, texts: list[str]) -> None:
        cells = (text.rjust(width) for text, (_, width) in zip(texts, self._COLUMNS, strict=True))
        click.echo("  ".join([first, *cells]), err=True)
