"""`edgecnn.quantize`: convert an FP32 bundle to an INT8 or FP16 bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.errors import UsageError
from edgecnn.progress import Progress, silent
from edgecnn.stages.describing import check_names, names_of
from edgecnn.stages.opening import BundleLike, open_one

if TYPE_CHECKING:
    from edgecnn.pipeline.quantization.quantizing import Quantized


def quantize(
    bundle: BundleLike,
    out: str | Path,
    *,
    calibration: str | Path | None = None,
    data: str | Path | None = None,
    gate_data: str | Path | None = None,
    count: int | None = None,
    seed: int | None = None,
    analyze: bool = False,
    seeds: int | None = None,
    force: bool = False,
    strict: bool = False,
    command: str = "edgecnn.quantize",
    progress: Progress = silent,
    **options: Any,
) -> "Quantized":
    """Quantize an FP32 bundle to INT8, or store its weights in float16 with `precision="fp16"`.

    Args:
        bundle: an FP32 bundle or its folder.
        out: the new bundle's folder. Its name becomes the bundle's name.
        calibration: a calibration config (`.json`), or a source of training images. Required for INT8.
        data: source of the images of the proof. The default is the calibration's source, or the parent's.
        gate_data: source of training images for the gate. The default is the calibration's source.
        count: number of calibration images. The default is the config's, or 300.
        seed: seed that selects the images. The default is the config's, or 0.
        analyze: measure gain and cost of leaving each layer in float.
        seeds: measure the spread over this number of calibration sets.
        force: replace an existing bundle.
        strict: turn warnings into errors. No bundle is written then.
        command: command line to record in the manifest.
        progress: called at each stage.
        options: fields of `QuantizationOptions`, such as `max_drop=0.2`.

    Returns:
        The new bundle, its warnings, and its speed beside FP32 on this machine.

    Raises:
        UsageError: an option is not valid, the bundle is not FP32, or `out` already exists.
        TestSplitRefused: the calibration images are test images.
        SourceError: images are missing, or have other classes.
        GateFailed: the drop exceeds the limit.
        ProofFailed: the answers differ too much from the reference's.
    """
    from edgecnn.pipeline.quantization.options import QuantizationOptions

    check_names(options, names_of(QuantizationOptions))
    try:
        chosen = QuantizationOptions(**options)
    except ValueError as error:
        raise UsageError(str(error)) from None
    chosen.check_arguments(calibrated=calibration is not None, analyze=analyze, seeds=seeds)
    from edgecnn.pipeline.data.source import DataSource
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.quantization.calibration_config import open_calibration
    from edgecnn.pipeline.quantization.quantizing import quantize as run

    def opened(source: str | Path | None) -> DataSource | None:
        return None if source is None else open_source(str(source), needs_classes=False, strict=strict)

    parent = open_one(bundle)
    reserved = parent.manifest.provenance.reserved
    return run(
        parent,
        None
        if calibration is None
        else open_calibration(str(calibration), count=count, seed=seed, reserved=reserved, strict=strict),
        Path(out),
        data=opened(data),
        gate_data=opened(gate_data),
        options=chosen,
        analyze=analyze,
        seeds=seeds,
        command=command,
        force=force,
        strict=strict,
        progress=progress,
    )
