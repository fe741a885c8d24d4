"""Verify a bundle with a data source and a checkpoint, or on a simulated processor."""

import contextlib
from dataclasses import replace
from pathlib import Path

from edgecnn.bundle.finding import is_bundle
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.files.schema import plain
from edgecnn.pipeline.data.matching import match_classes
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.importing.options import WeightsOptions
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
    architecture: str | None = None,
    weights: WeightsOptions | None = None,
    engine: str = "auto",
    options: SessionOptions | None = None,
    record: Path | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Verification:
    """Verify a bundle like `edgecnn.runtime.verification.verify.verify`, with data and reference as paths.

    PyTorch is imported for a checkpoint or weights only, and ONNX for a simulation only.

    Args:
        bundle: the bundle to verify.
        data: a data source's name or an image folder with the bundle's classes. Its test split is compared.
        reference: a checkpoint folder, a weights file, or a `.npz` file with logits.
        simulate: predict the logits of an x86 CPU without VNNI, whose INT8 sums saturate. Writes no record.
        architecture: the architecture of a weights file. Default: the bundle's.
        weights: properties that a weights file does not contain. Image size, stem and labels are the bundle's unless
            they are given; see `WeightsOptions` for the others.
        engine: see `runtime.verification.verify.verify`.
        options: session options.
        record: file to write the verification record to.
        strict: turn warnings into errors.
        progress: called after each step.

    Warns:
        OverlapWarning: the bundle was calibrated with some of the images.

        WeightsNote: weights were unwrapped, or properties of them assumed; see `importing.weights.from_file`.

    Raises:
        UsageError: `reference` is a bundle, `architecture` or `weights` is given without a weights file, or
            `simulate` is combined with engine options or a bundle without INT8. See also
            `runtime.verification.verify.verify`.
        SourceError: the data is unknown or has other classes, or an image cannot be decoded.
        CheckpointError: the checkpoint or the weights file cannot be read.
        EngineError: the engine failed.
    """
    if reference is not None and is_bundle(reference):
        raise UsageError(f"{reference} is a bundle: expected a checkpoint, a file with weights, or logits (.npz)")
    is_file = reference is not None and reference.suffix != ".npz" and reference.is_file()
    if (architecture, weights) != (None, None) and not is_file:
        given = "--arch" if weights is None else weights.given
        raise UsageError(f"{given} needs a weights file as --reference, found {reference or 'none'}")
    with contextlib.ExitStack() as stack:
        simulation = None
        if simulate:
            simulation = stack.enter_context(contextlib.closing(_simulation(bundle, engine, options)))
        images = None
        compared: Path | ReferenceSession | None = None
        if data is not None and reference is not None:
            if reference.suffix == ".npz":
                compared = reference
            else:
                compared = _reference_session(reference, bundle, architecture, weights or WeightsOptions())
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
        precision = bundle.manifest.precision.upper()
        raise UsageError(f"{bundle.path} is {precision}: --simulate predicts how INT8 sums saturate")
    from edgecnn.pipeline.quantization.simulation import simulate

    return simulate(bundle.model)


def _reference_session(
    path: Path, bundle: Bundle, architecture: str | None, options: WeightsOptions
) -> ReferenceSession:
    """Open a checkpoint or a weights file."""
    from edgecnn.pipeline.importing.weights import open_weights
    from edgecnn.pipeline.reference import identity_of
    from edgecnn.pipeline.training.checkpoint import read_checkpoint

    if path.is_file():
        reference = open_weights(*_described(path, bundle, architecture, options))
        _check_preprocessing(path, reference.preprocessing, bundle)
    else:
        reference = read_checkpoint(path).reference
    return ReferenceSession(str(path), identity_of(reference), reference.digest, reference.open())


def _described(
    path: Path, bundle: Bundle, architecture: str | None, options: WeightsOptions
) -> tuple[str, str, WeightsOptions]:
    """Return architecture, file and options of a weights file, with the bundle's where they are not given."""
    network, (height, width, _) = bundle.manifest.network, bundle.manifest.image_shape
    if architecture is None and network is None:
        raise UsageError(f"{bundle.path} does not name an architecture: add that of {path} with --arch")
    return (
        architecture or (network.architecture if network else ""),
        str(path),
        replace(
            options,
            image_size=options.image_size or (None if options.crop else (height, width)),
            stem=options.stem or (network.stem if network else None),
            labels=options.labels or bundle.manifest.labels,
            labels_from=str(bundle.path) if options.labels is None else options.labels_from,
        ),
    )


def _check_preprocessing(path: Path, found: Preprocessing, bundle: Bundle) -> None:
    """Check that weights and bundle prepare images in the same way, and name what differs."""
    mine, theirs = plain(found), plain(bundle.manifest.preprocessing)
    different = [f"{name} {mine[name]}, the bundle has {theirs[name]}" for name in theirs if mine[name] != theirs[name]]
    if different:
        raise UsageError(
            f"{path} with these options is not the reference of {bundle.path}: {'; '.join(different)}; give the "
            f"options of its export"
        )


def _test_split(bundle: Bundle, data: str, *, strict: bool) -> Split:
    """Open the test split of a source, with the bundle's classes or without classes."""
    source = open_source(data, needs_classes=False, strict=strict)
    split = match_classes(source.split("test"), source.labels, bundle.manifest.labels, str(bundle.path))
    check_unseen(bundle, split, strict=strict)
    return split
