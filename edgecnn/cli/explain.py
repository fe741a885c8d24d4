"""`edgecnn explain`: write a page that shows what a network computes for one image."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import (
    PATH,
    POSITIVE,
    engine_option,
    file_option,
    force_option,
    json_option,
    language_option,
)
from edgecnn.cli.output import counted, emit, progress_bar
from edgecnn.cli.weights import architecture_option
from edgecnn.errors import UsageError

if TYPE_CHECKING:
    from edgecnn.explaining.explanation import Explanation


@click.command()
@click.argument("subject", metavar="BUNDLE|CHECKPOINT", type=PATH)
@click.argument("image", type=PATH)
@file_option("--out", "FILE.html", help="The page to write. Without it, give --json.")
@click.option(
    "--compare", type=PATH, metavar="BUNDLE", help="Another bundle of the same reference, to show the difference."
)
@click.option("--checkpoint", type=PATH, help="The checkpoint from which BUNDLE was made, for Grad-CAM.")
@architecture_option("The factory that built the network of the checkpoint.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="NAME|NUMBER",
    help="Add a class to contributions and attention; repeatable. [default: the most probable ones]",
)
@language_option
@click.option("--threads", type=POSITIVE, help="Threads of one run. [default: the usable cores]")
@engine_option
@force_option
@json_option
def explain(subject: Path, image: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Show what BUNDLE or CHECKPOINT computes for IMAGE, as one HTML page.

    The page has a block for each layer: feature maps, kernels, receptive fields, and the contributions of the last
    linear layer to a logit. Occlusion shows where the network looks: up to 169 runs with a gray patch. With --compare,
    the page shows each map of both bundles, their difference, and the signal-to-noise ratio of each layer.

    A CHECKPOINT is exported for this image, and the logits of the graph are compared with PyTorch's for this image only
    (exit code 3 if they differ). A checkpoint adds Grad-CAM; for a BUNDLE, name it with --checkpoint.
    """
    if out is None and not as_json:
        raise UsageError("expected an output, found none: add --out FILE.html or --json")
    if subject.is_file() and image.is_dir():
        raise UsageError(f"expected BUNDLE|CHECKPOINT IMAGE, found the file {subject} first: swap the arguments")
    from edgecnn.stages.explaining import explain as run

    with progress_bar() as progress:
        found = run(subject, image, out=out, progress=progress, **options)
    emit(found, _text(found, out), as_json=as_json)


def _text(found: "Explanation", out: Path | None) -> str:
    best = found.order[0]
    lines = [
        f"{found.model} on {found.engine}: {found.labels[best]} {found.probabilities[best]:.1%}, "
        f"{counted(len(found.layers), 'layer')}"
    ]
    ratios = [(each.snr_db, each.id) for each in found.layers if each.snr_db is not None]
    if ratios:
        ratio, layer = min(ratios)
        lines.append(f"  compared with {found.compared}: the lowest signal-to-noise ratio is {ratio:.1f} dB at {layer}")
    return "\n".join([*lines, *([] if out is None else [f"  wrote {out}"])])
