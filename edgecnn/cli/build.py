"""`edgecnn build`: from a network and its images to proven bundles and an archive, in one command."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.bundle_text import bundle_summary
from edgecnn.cli.completion import complete_architecture_or_path
from edgecnn.cli.onnx_options import onnx_options
from edgecnn.cli.options import force_option, json_option, labelled_data_option, out_option, strict_option
from edgecnn.cli.output import emit, printable, progress_bar, warn
from edgecnn.cli.weights import architecture_option, weights_options

if TYPE_CHECKING:
    from edgecnn.stages.building import Built, Step


@click.command()
@click.argument("subject", metavar="CHECKPOINT|ONNX|WEIGHTS|NETWORK", shell_complete=complete_architecture_or_path)
@labelled_data_option("Training and test images: a data source's name, or an image folder.")
@out_option("The folder to write. Its name becomes the name of the bundles.")
@click.option("--weights", metavar="FILE|NAME", help="The weights of NETWORK.")
@architecture_option("The network of a WEIGHTS file.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    help="Largest drop of top-1 in percentage points. [default: that of quantize and tune]",
)
@click.option(
    "--budget",
    "budget_s",
    type=click.FloatRange(min=1),
    default=20.0,
    show_default=True,
    help="Approximate time limit of the tuning in seconds.",
)
@onnx_options(prefix="ONNX")
@weights_options("--key", prefix="Network")
@force_option
@strict_option
@json_option
def build(subject: str, source: str, out: Path, weights_key: str | None, as_json: bool, **options: Any) -> None:
    """Make proven bundles and an archive of SUBJECT in one command.

    SUBJECT is a checkpoint, an ONNX file, a WEIGHTS file with --arch, or a network: an architecture, torchvision:NAME,
    timm:NAME, package.module:factory or file.py:factory, with --weights.

    The steps are export or import, quantize, verify, tune and pack. Each step is printed as the command that does the
    same, so that you can repeat one with other options. OUT gets the bundles NAME-fp32 and NAME-int8 and the archive of
    the one that is faster here within the limit of the drop. If a step fails, the results of the earlier steps remain.
    """
    from edgecnn.stages.building import build as run

    report = partial(_report, as_json=as_json)
    with progress_bar() as progress:
        built = run(subject, source, out, key=weights_key, on_step=report, progress=progress, **options)
    emit(_summary(built), _text(built), as_json=as_json)
    for warning in built.warnings:
        warn(warning)


def _report(step: "Step", *, as_json: bool) -> None:
    """Print a finished step: to stdout as part of the page, or to stderr if stdout is JSON."""
    click.echo(f"$ {step.command}\n  {printable(step.result)} ({step.duration_s:.1f} s)", err=as_json)


def _summary(built: "Built") -> dict[str, Any]:
    """Return the result as JSON values."""
    return {
        "fp32": bundle_summary(built.fp32),
        "quantized": bundle_summary(built.quantized.bundle),
        "profile": built.tuned.profile,
        "archive": {
            "path": str(built.archive.archive),
            "size_bytes": built.archive.size_bytes,
            "sha256": built.archive.sha256,
            "bundle": built.archive.bundle.digest,
        },
        "steps": built.steps,
    }


def _text(built: "Built") -> str:
    archive, chosen = built.archive.archive, built.archive.bundle.path
    site = archive.parent / "site"
    return "\n".join(
        [
            "",
            f"{archive} is ready. To use it:",
            f"  edgecnn predict {chosen} IMAGE",
            f"  edgecnn serve {chosen}",
            f"  edgecnn install {archive} --to {site}",
        ]
    )
