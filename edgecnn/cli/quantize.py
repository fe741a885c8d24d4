"""`edgecnn quantize`: an FP32 bundle in, an INT8 bundle out."""

from pathlib import Path
from typing import Any

import click

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
    take_fields,
)
from edgecnn.cli.output import emit, progress_bar, warn
from edgecnn.errors import GateFailed, UsageError
from edgecnn.pipeline.quantization.options import QuantizationOptions


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--calibration", required=True, metavar="RECIPE|SOURCE", help="Training images that decide the scales.")
@out_option("The bundle to write; the folder's name is the bundle's name.")
@click.option("--data", metavar="SOURCE", help="Images to prove it on. [default: the calibration's source]")
@click.option("--count", type=POSITIVE, help="How many calibration images. [default: the recipe's, or 300]")
@click.option("--seed", type=int, help="Seed of their choice. [default: the recipe's, or 0]")
@click.option("--gate-data", metavar="SOURCE", help="Whose training images hold the gate. [default: calibration's]")
@dataclass_options(QuantizationOptions)
@click.option("--analyze", is_flag=True, help="Try each layer in float, and say what that would win.")
@click.option(
    "--seeds", type=click.IntRange(min=2), default=None, help="Report the spread over so many calibration sets."
)
@force_option
@strict_option
@json_option
def quantize(
    bundle: Path,
    calibration: str,
    out: Path,
    data: str | None,
    gate_data: str | None,
    count: int | None,
    seed: int | None,
    analyze: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantize an FP32 BUNDLE to INT8.

    Weights have one scale a channel and stay within ±64, so that no processor's 16-bit sums overflow; the logits stay
    in float. Only training images calibrate: a recipe that names the test split is refused. Where INT8 costs more of
    top-1 than --max-drop on held-out training images, layers go back to float, worst first, as few as it takes.
    """
    from edgecnn.bundle.store import open_bundle
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.quantization.quantizing import quantize as run
    from edgecnn.pipeline.quantization.recipe import open_calibration

    try:
        chosen = QuantizationOptions(**take_fields(QuantizationOptions, options))
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        with progress_bar() as progress:
            quantized = run(
                open_bundle(bundle),
                open_calibration(calibration, count=count, seed=seed),
                out,
                data=None if data is None else open_source(data),
                gate_data=None if gate_data is None else open_source(gate_data),
                options=chosen,
                analyze=analyze,
                command=command_line(),
                progress=progress,
                **options,
            )
    except GateFailed as error:  # what was found of each layer says what to do now
        emit({"layers": error.layers, "drop": error.drop}, layers_text(error.layers, {}), as_json=as_json)
        raise
    summary = bundle_summary(quantized.bundle) | {"verdict": quantized.verdict, "seeds": quantized.seeds}
    emit(summary, quantized_text(quantized, analyze=analyze), as_json=as_json)
    for warning in quantized.warnings:
        warn(warning)
