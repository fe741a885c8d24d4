"""`edgecnn quantize`: an FP32 bundle in, an INT8 bundle out."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edgecnn.cli.options import command_line, dataclass_options, force_option, json_option, out_option, strict_option
from edgecnn.cli.output import emit, progress_bar, warn
from edgecnn.errors import GateFailed, UsageError
from edgecnn.pipeline.quantization.options import QuantizationOptions


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--calibration", required=True, metavar="RECIPE|SOURCE", help="Training images that decide the scales.")
@out_option("The bundle to write; the folder's name is the bundle's name.")
@click.option("--data", metavar="SOURCE", help="Images to prove it on. [default: the calibration's source]")
@click.option(
    "--count", type=click.IntRange(min=1), help="How many calibration images. [default: the recipe's, or 300]"
)
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
    seeds: int | None,
    force: bool,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantize an FP32 BUNDLE to INT8.

    Weights have one scale a channel and stay within ±64, so that no processor's 16-bit sums overflow; the logits stay
    in float. Only training images calibrate: a recipe that names the test split is refused. Where INT8 costs more of
    top-1 than --max-drop on held-out training images, layers go back to float, worst first, as few as it takes.
    """
    from edgecnn.bundle.store import open_bundle
    from edgecnn.cli.layers import gate_text, layers_text, seeds_text, verdict_text
    from edgecnn.cli.summary import bundle_summary, bundle_text
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.quantization.quantizing import quantize as run
    from edgecnn.pipeline.quantization.recipe import open_calibration
    from edgecnn.pipeline.quantization.spread import spread_over_seeds

    try:
        chosen = QuantizationOptions(**options)
    except ValueError as error:
        raise UsageError(str(error)) from None
    parent, images = open_bundle(bundle), open_calibration(calibration, count=count, seed=seed)
    source = None if data is None else open_source(data)
    with _report_of_a_failed_gate(as_json), progress_bar() as progress:
        quantized = run(
            parent,
            images,
            out,
            data=source,
            gate_data=None if gate_data is None else open_source(gate_data),
            options=chosen,
            analyze=analyze,
            command=command_line(),
            force=force,
            strict=strict,
            progress=progress,
        )
        spread = (
            None
            if seeds is None
            else spread_over_seeds(parent, images, seeds, data=source, options=chosen, progress=progress)
        )
    proof, manifest = quantized.bundle.proof(), quantized.bundle.manifest
    left = manifest.quantization.float_tensors if manifest.quantization else {}
    lines = [bundle_text(quantized.bundle)]
    if analyze:
        lines += ["", layers_text(proof.layers, left), ""]
    if proof.gate is not None:
        gated = [name.removesuffix(".weight") for name, reason in left.items() if reason.startswith("gate")]
        lines.append(gate_text(proof.gate, gated))
    if spread:
        lines.append(seeds_text(spread))
    summary = bundle_summary(quantized.bundle) | {"verdict": quantized.verdict, "seeds": spread}
    emit(summary, "\n".join([*lines, verdict_text(quantized.verdict)]), as_json=as_json)
    for warning in quantized.warnings:
        warn(warning)


@contextlib.contextmanager
def _report_of_a_failed_gate(as_json: bool) -> Iterator[None]:
    """Print what was found of each layer where no bundle came of it, for that is what the user needs now."""
    try:
        yield
    except GateFailed as error:
        from edgecnn.cli.layers import layers_text

        emit({"layers": error.layers, "drop": error.drop}, layers_text(error.layers, {}), as_json=as_json)
        raise
