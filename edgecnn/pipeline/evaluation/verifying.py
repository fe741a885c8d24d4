"""Verify a bundle with a data source and a checkpoint, or on a simulated processor."""

import contextlib
from pathlib import Path

from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.calibration_config import check_unseen
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import Session, SessionOptions
from edgecnn.runtime.verification.comparing import ReferenceSession
from edgecnn.runtime.verification.verify import Verification
from edgecnn.runtime.verification.verify import verify as verify_on_device


def verify(
    bundle: Bundle,
    *,
    data: str | None = None,
    reference: Path | None = None,
    simulate: bool = False,
    engine: str = "auto",
    options: SessionOptions | None = None,
    record: Path | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Verification:
    """Verify a bundle like `edgecnn.runtime.verification.verify.verify`, with data and reference as paths.

    PyTorch is imported for a checkpoint only, and ONNX for a simulation only.

    Args:
        bundle: the bundle to verify.
        data: a data source's name or an image folder with the bundle's classes. Its test split is compared.
        reference: a checkpoint folder, or a `.npz` file with its logits.
        simulate: predict the logits of an x86 CPU without VNNI, whose INT8 sums saturate. Writes no record.
        engine: see `runtime.verification.verify.verify`.
        options: session options.
        record: file to write the verification record to.
        strict: turn warnings into errors.
        progress: called after each step.

    Warns:
        OverlapWarning: the bundle was calibrated with some of the images.

    Raises:
        UsageError: the data has other classes, or `simulate` is combined with engine options or an FP32 bundle. See
            also `runtime.verification.verify.verify`.
        SourceError: the data is unknown, or an image cannot be decoded.
        CheckpointError: the checkpoint cannot be read.
        EngineError: the engine failed.
    """
    with contextlib.ExitStack() as stack:
        simulation = None
        if simulate:
            simulation = stack.enter_context(contextlib.closing(_simulation(bundle, engine, options)))
        images, compared = None, None
        if data is not None and reference is not None:
            compared = reference if reference.suffix == ".npz" else _reference_session(reference)
            if isinstance(compared, ReferenceSession):
                stack.enter_context(contextlib.closing(compared.session))
            images = _test_split(bundle, data, strict=strict)
        elif (data, reference) != (None, None):
            raise UsageError("--data and --reference must be used together: images, and a checkpoint to compare with")
        return verify_on_device(
            bundle,
            engine=engine,
            options=options,
            images=images,
            reference=compared,
            simulation=simulation,
            record=record,
            strict=strict,
            progress=progress,
        )


def _simulation(bundle: Bundle, engine: str, options: SessionOptions | None) -> Session:
    if engine != "auto" or options not in (None, SessionOptions()):
        raise UsageError("--simulate does not use an engine: remove the engine options")
    if bundle.manifest.quantization is None:
        raise UsageError(f"{bundle.path} is FP32: --simulate predicts how INT8 sums saturate")
    from edgecnn.pipeline.quantization.simulation import simulate

    return simulate(bundle.model)


def _reference_session(checkpoint: Path) -> ReferenceSession:
    from edgecnn.pipeline.torch_session import TorchSession
    from edgecnn.pipeline.training.checkpoint import read_checkpoint

    reference = read_checkpoint(checkpoint).reference
    return ReferenceSession(str(checkpoint), reference.identity, reference.digest, TorchSession(reference))


def _test_split(bundle: Bundle, data: str, *, strict: bool) -> Split:
    """Open the test split of a source that has the bundle's classes."""
    source = open_source(data)
    if source.labels != bundle.manifest.labels:
        raise UsageError(f"{data} has other classes than {bundle.path}: pass the data that it was trained on")
    split = source.split("test")
    check_unseen(bundle, split, strict=strict)
    return split
