"""`edgecnn export`: a checkpoint, or weights from elsewhere, in; a proven FP32 bundle out."""

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
            f"{option.opts[0]} takes numbers between commas, such as 0.485,0.456,0.406, found {text!r}"
        ) from None


@click.command()
@click.argument("checkpoint", metavar="CHECKPOINT|ARCH")
@out_option("The bundle to write; the folder's name is the bundle's name.")
@click.option(
    "--data", metavar="SOURCE", help="Images to prove it on. [default: what it was trained on, or photographs]"
)
@click.option(
    "--weights", metavar="FILE|NAME", help="A state dict (.pth, .safetensors), or torchvision's entry of that name."
)
@click.option("--image-size", type=POSITIVE, help="With --weights: height and width. [default: 224]")
@click.option("--resize", type=POSITIVE, help="With --weights: shorter side before the crop. [default: 256/224]")
@click.option(
    "--mean", callback=_numbers, metavar="M[,M,M]", help="With --weights: of pixels in [0, 1]. [default: ImageNet's]"
)
@click.option("--std", callback=_numbers, metavar="S[,S,S]", help="With --weights: likewise.")
@click.option("--labels", type=PATH, help="With --weights: a file with one class name a line.")
@click.option(
    "--stem",
    type=click.Choice(["standard", "small"]),
    help="With --weights: that they were trained with. [default: standard]",
)
@force_option
@json_option
def export(
    checkpoint: str, out: Path, data: str | None, weights: str | None, force: bool, as_json: bool, **described: Any
) -> None:
    """Export CHECKPOINT, or ARCH with --weights, to an FP32 bundle.

    The graph is run against the PyTorch reference on every installed engine, at batch 1, 3 and 8, before the bundle
    appears: a logit that is off by more than 1e-4 of their spread, or one other answer, and there is none (exit 3).
    """
    names = ("image_size", "resize", "mean", "std", "labels", "stem")
    given = [f"--{name.replace('_', '-')}" for name in names if described[name] is not None]
    if weights is None and given:
        raise UsageError(f"{', '.join(given)} describe foreign weights: name those with --weights")
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
