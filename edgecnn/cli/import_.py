"""`edgecnn import`: convert an ONNX classifier to an FP32 bundle."""

from pathlib import Path
from typing import Any

import click

from edgecnn.cli.bundle_text import bundle_summary, bundle_text
from edgecnn.cli.checks import checks_options, unsure_option
from edgecnn.cli.completion import complete_source
from edgecnn.cli.onnx_options import onnx_options
from edgecnn.cli.options import PATH, command_line, force_option, json_option, out_option, strict_option
from edgecnn.cli.output import emit, progress_bar
from edgecnn.cli.subjects import check_import
from edgecnn.cli.weights import take_weights_options, weights_options


@click.command("import")
@click.argument("onnx_file", metavar="FILE.onnx", type=PATH)
@out_option("The bundle to write. The folder's name becomes the bundle's name.")
@click.option(
    "--data", metavar="SOURCE", shell_complete=complete_source, help="Images for the proof. [default: photographs]"
)
@onnx_options(prefix="")
@weights_options(
    prefix="",
    without=("--stem", "--transform-input"),
    defaults={"--image-size": "FILE's", "--scores": "FILE's; softmax without a softmax or sigmoid at the end"},
)
@checks_options
@unsure_option
@force_option
@strict_option
@json_option
def import_(onnx_file: Path, out: Path, as_json: bool, **described: Any) -> None:
    """Import FILE, an ONNX classifier from another tool, to an FP32 bundle.

    The reference is the untouched file in ONNX Runtime, without graph optimizations. The bundle's graph takes uint8
    images and returns logits: mean and standard deviation become part of it, a softmax or sigmoid at the end is
    removed, and a fixed batch is freed. Before the bundle is written, every installed engine runs the graph at batch
    1, 3 and 8 and compares it with the reference. If a logit differs by more than 1e-4 of the logits' spread, or a
    label differs, no bundle is written (exit code 3).

    A file does not say how images are prepared: a note names what is assumed. `edgecnn inspect FILE` shows what the
    file says, and the options that it needs. The file is opened in a child process first, with limits on time and
    memory. With --expect or --preprocess the preprocessing is compared with your own answers or code: if labels or
    pixels differ by more than decoders and rounding explain, no bundle is written (exit code 3). Otherwise a warning
    names another preprocessing whose top-1 on labelled --data is clearly higher.
    """
    check_import(onnx_file, out, force=described["force"])
    from edgecnn.stages.exporting import import_onnx

    options = take_weights_options(described)
    with progress_bar() as progress:
        bundle = import_onnx(onnx_file, out, command=command_line(), progress=progress, **described, **options)
    emit(bundle_summary(bundle), bundle_text(bundle), as_json=as_json)
