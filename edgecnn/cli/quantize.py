"""`edgecnn quantize`: convert an FP32 bundle to an INT8 or FP16 bundle."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edgecnn.cli.bundle_text import bundle_summary, layers_text, quantized_text
from edgecnn.cli.options import (
    PATH,
    POSITIVE,
    command_line,
    dataclass_options,
    force_option,
    json_option,
    out_option,
    strict_option,
)
from edgecnn.cli.output import emit, progress_bar, warn
from edgecnn.cli.subjects import possible_bundle
from edgecnn.errors import GateFailed, UsageError
from edgecnn.pipeline.quantization.options import INT8_ONLY, QuantizationOptions, only_int8


@click.command()
@click.argument("bundle", type=PATH, callback=possible_bundle)
@click.option(
    "--calibration",
    metavar="CONFIG|SOURCE",
    help="Calibration config, or source of training images. Required for INT8.",
)
@out_option("The bundle to write. The folder's name becomes the bundle's name.")
@click.option(
    "--data", metavar="SOURCE", help="Images for the proof. [default: the calibration source, or the parent's]"
)
@click.option("--count", type=POSITIVE, help="Number of calibration images. [default: the config's, or 300]")
@click.option("--seed", type=int, help="Seed that selects the images. [default: the config's, or 0]")
@click.option(
    "--gate-data", metavar="SOURCE", help="Source of training images for the gate. [default: the calibration source]"
)
@dataclass_options(QuantizationOptions)
@click.option("--analyze", is_flag=True, help="Measure gain and cost of leaving each layer in float.")
@click.option(
    "--seeds", type=click.IntRange(min=2), default=None, help="Report the spread over this number of calibration sets."
)
@force_option
@strict_option
@json_option
def quantize(
    bundle: Path,
    calibration: str | None,
    out: Path,
    gate_data: str | None,
    analyze: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantize an FP32 BUNDLE to INT8, or store its weights in float16 with --precision fp16.

    In INT8, weights have one scale per channel. They stay within ±64, so that 16-bit sums do not overflow on any
    processor. The logits stay in float. Calibration uses training images only; the test split is rejected. If the 95 %
    interval of the drop of top-1 on held-out training images is above --max-drop, the worst layers are left in float,
    as few as necessary. If it contains --max-drop, more images are used; if there are none, see --on-undecided.

    In FP16, the bundle is half as large as in FP32, and as fast. It needs no images. With --calibration or --gate-data,
    the drop is compared with --max-drop.
    """
    _check_given(calibration, gate_data)
    from edgecnn.stages.quantizing import quantize as run

    try:
        with progress_bar() as progress:
            quantized = run(
                bundle,
                out,
                calibration=calibration,
                gate_data=gate_data,
                analyze=analyze,
                command=command_line(),
                progress=progress,
                **options,
            )
    except GateFailed as error:  # the table shows which layers cause the drop
        if error.layers or as_json:
            emit({"layers": error.layers, "drop": error.drop}, layers_text(error.layers, {}), as_json=as_json)
        raise
    summary = bundle_summary(quantized.bundle) | {
        "speed_comparison": quantized.speed_comparison,
        "seeds": quantized.seeds,
    }
    emit(summary, quantized_text(quantized, analyze=analyze), as_json=as_json)
    for warning in quantized.warnings:
        warn(warning)


def _check_given(calibration: str | None, gate_data: str | None) -> None:
    """Check that each option on the command line applies to the precision.

    Raises:
        UsageError: an option applies to INT8 only, or the gate has no images.
    """
    context = click.get_current_context()
    if context.params["precision"] != "fp16":
        return
    given = {
        option.name: option.opts[0]
        for option in context.command.params
        if context.get_parameter_source(str(option.name)) is not ParameterSource.DEFAULT
    }
    unused = [text for name, text in given.items() if name in INT8_ONLY | {"count", "seed", "analyze", "seeds"}]
    if unused:
        raise UsageError(only_int8(unused))
    gate = [text for name, text in given.items() if name in ("max_drop", "min_agreement", "certify", "gate_count")]
    if gate and calibration is None and gate_data is None:
        raise UsageError(f"{gate[0]} needs training images: add --gate-data SOURCE")
