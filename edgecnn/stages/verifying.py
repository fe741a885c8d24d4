"""`edgecnn.verify`: compare a bundle with its reference on this machine."""

from pathlib import Path
from typing import Any

from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import Precision, SessionOptions
from edgecnn.runtime.verification.verify import Verification
from edgecnn.runtime.verification.verify import verify as verify_on_device
from edgecnn.stages.describing import onnx_options, split_onnx, weights_options
from edgecnn.stages.opening import BundleLike, open_one


def verify(
    bundle: BundleLike,
    *,
    data: str | Path | None = None,
    reference: str | Path | None = None,
    architecture: str | None = None,
    simulate: bool = False,
    engine: str = "auto",
    device: str = "cpu",
    precision: Precision = "fp32",
    threads: int | None = None,
    record: str | Path | None = None,
    strict: bool = False,
    progress: Progress = silent,
    **options: Any,
) -> Verification:
    """Run a bundle's self-test on an engine of this machine, and compare it with its reference if that is given.

    Without `data`, `reference` and `simulate`, neither PyTorch nor ONNX is imported.

    Args:
        bundle: the bundle or its folder.
        data: a data source's name or an image folder. Its test split is compared. Requires `reference`.
        reference: a checkpoint, a weights file, a factory, an ONNX file, or a `.npz` file with logits.
        architecture: the network of a weights file. The default is the bundle's.
        simulate: predict the logits of an x86 CPU without VNNI, whose INT8 sums saturate.
        engine: `auto`, `onnxruntime` or `openvino`.
        device: `cpu`, `cuda`, `tensorrt`, `gpu`, `npu` or `auto`.
        precision: precision of float operators.
        threads: threads of one run; None for the usable cores.
        record: file to write the verification record to.
        strict: turn warnings into errors.
        progress: called after each step.
        options: options with which weights or an ONNX file were exported; see `WeightsOptions` and `OnnxOptions`.

    Returns:
        The measurements and the failures. Call `raise_for_failures` to get an exception if the proof does not hold.

    Raises:
        BundleError: the bundle is not intact.
        UsageError: the reference is another bundle's, or the arguments do not fit together.
        SourceError, CheckpointError: the images or the reference cannot be read.
        EngineError: the engine failed.
    """
    opened, session = open_one(bundle), SessionOptions(device, precision, threads)
    place = None if record is None else Path(record)
    own, others = split_onnx(options)
    weights, onnx = weights_options(others), onnx_options(options) if own else None
    if (data, reference, architecture, weights, onnx) == (None,) * 5 and not simulate:
        return verify_on_device(opened, engine=engine, options=session, record=place, strict=strict, progress=progress)
    from edgecnn.pipeline.evaluation.verifying import verify as verify_on_data

    return verify_on_data(
        opened,
        data=None if data is None else str(data),
        reference=None if reference is None else Path(reference),
        simulate=simulate,
        architecture=architecture,
        weights=weights,
        onnx=onnx,
        engine=engine,
        options=session,
        record=place,
        strict=strict,
        progress=progress,
    )
