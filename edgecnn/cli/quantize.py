"""`edgecnn quantize`: convert an FP32 bundle to an INT8 bundle."""

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
from edgecnn.cli.subjects import possible_bundle
from edgecnn.errors import GateFailed, UsageError
from edgecnn.pipeline.quantization.options import QuantizationOptions


@click.command()
@click.argument("bundle", type=PATH, callback=possible_bundle)
@click.option(
    "--calibration", required=True, metavar="CONFIG|SOURCE", help="Calibration config, or source of training images."
)
@out_option("The bundle to write. The folder's name becomes the bundle's name.")
@click.option("--data", metavar="SOURCE", help="Images for the proof. [default: the calibration source]")
@click.option("--count", type=POSITIVE, help="Number of calibration images. [default: the config's, or 300]")
@click.option("--seed", type=int, help="Seed that selects the images. [default: the config's, or 0]")
@click.option(
    "--gate-data", metavar="SOURCE", help="Source of training images for the gate. [default: the calibration source]"
)
@dataclass_options(QuantizationOptions)
@click.option("--analyze", is_flag=True, help="Measure the gain of leaving each layer in float.")
@click.option(
    "--seeds", type=click.IntRange(min=2), default=None, help="Report the spread over this number of calibration sets."
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
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantize an FP32 BUNDLE to INT8.

    Weights have one scale per channel. They stay within ±64, so that 16-bit sums do not overflow on any processor. The
    logits stay in float. Calibration uses training images only; the test split is rejected. If top-1 on held-out
    training images drops by more than --max-drop, the worst layers are left in float, as few as necessary.
    """
    from edgecnn.bundle.store import open_bundle
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.quantization.calibration_config import open_calibration
    from edgecnn.pipeline.quantization.quantizing import quantize as run

    try:
        chosen = QuantizationOptions(**take_fields(QuantizationOptions, options))
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        with progress_bar() as progress:
            quantized = run(
                open_bundle(bundle),
                open_calibration(calibration, count=count, seed=seed, strict=strict),
                out,
                data=None if data is None else open_source(data, needs_classes=False, strict=strict),
                gate_data=None if gate_data is None else open_source(gate_data, needs_classes=False, strict=strict),
                options=chosen,
                analyze=analyze,
                strict=strict,
                command=command_line(),
                progress=progress,
                **options,
            )
    except GateFailed as error:  # the table shows which layers cause the drop
        emit({"layers": error.layers, "drop": error.drop}, layers_text(error.layers, {}), as_json=as_json)
        raise
    summary = bundle_summary(quantized.bundle) | {
        "speed_comparison": quantized.speed_comparison,
        "seeds": quantized.seeds,
    }
    emit(summary, quantized_text(quantized, analyze=analyze), as_json=as_json)
    for warning in quantized.warnings:
        warn(warning)
