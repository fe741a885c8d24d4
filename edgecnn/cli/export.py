"""`edgecnn export`: convert a checkpoint or foreign weights to an FP32 bundle."""

from pathlib import Path
from typing import Any

import click

from edgecnn.cli.bundle_text import bundle_summary, bundle_text
from edgecnn.cli.options import PATH, POSITIVE, command_line, force_option, json_option, out_option
from edgecnn.cli.output import emit, progress_bar
from edgecnn.errors import UsageError


def _numbers(context: click.Context, option: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{option.opts[0]} expects comma-separated numbers such as 0.485,0.456,0.406, found {text!r}"
        ) from None


@click.command()
@click.argument("checkpoint", metavar="CHECKPOINT|ARCH")
@out_option("The bundle to write. The folder's name becomes the bundle's name.")
@click.option("--data", metavar="SOURCE", help="Images for the proof. [default: the training source, or photographs]")
@click.option(
    "--weights", metavar="FILE|NAME", help="A state dict (.pth, .safetensors), or the name of torchvision weights."
)
@click.option("--image-size", type=POSITIVE, help="With --weights: height and width. [default: 224]")
@click.option("--resize", type=POSITIVE, help="With --weights: shorter side before the crop. [default: 256/224]")
@click.option(
    "--mean", callback=_numbers, metavar="M[,M,M]", help="With --weights: mean of pixels in [0, 1]. [default: ImageNet]"
)
@click.option(
    "--std",
    callback=_numbers,
    metavar="S[,S,S]",
    help="With --weights: standard deviation of pixels in [0, 1]. [default: ImageNet]",
)
@click.option("--labels", type=PATH, help="With --weights: a file with one class name per line.")
@click.option(
    "--stem",
    type=click.Choice(["standard", "small"]),
    help="With --weights: the stem they were trained with. [default: standard]",
)
@force_option
@json_option
def export(
    checkpoint: str, out: Path, data: str | None, weights: str | None, force: bool, as_json: bool, **described: Any
) -> None:
    """Export CHECKPOINT, or ARCH with --weights, to an FP32 bundle.

    Before the bundle is written, every installed engine runs the graph at batch 1, 3 and 8 and compares it with the
    PyTorch reference. If a logit differs by more than 1e-4 of the logits' spread, or a label differs, no bundle is
    written (exit code 3).
    """
    names = ("image_size", "resize", "mean", "std", "labels", "stem")
    given = [f"--{name.replace('_', '-')}" for name in names if described[name] is not None]
    if weights is None and given:
        raise UsageError(f"{', '.join(given)} require --weights, which is missing: add --weights FILE|NAME")
    from edgecnn.pipeline.export.exporting import export as run
    from edgecnn.pipeline.export.exporting import open_reference
    from edgecnn.pipeline.importing.weights import WeightsOptions, read_labels

    if described["labels"] is not None:
        described["labels"] = read_labels(described["labels"])
    options = WeightsOptions(**{name: value for name, value in described.items() if value is not None})
    with progress_bar() as progress:
        reference = open_reference(checkpoint, weights=weights, options=options)
        bundle = run(reference, out, data=data, command=command_line(), force=force, progress=progress)
    emit(bundle_summary(bundle), bundle_text(bundle), as_json=as_json)
