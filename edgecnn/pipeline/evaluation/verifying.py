"""Verify a bundle with a data source and a checkpoint, or on a simulated processor."""

import contextlib
from dataclasses import replace
from pathlib import Path

from edgecnn.bundle.choices import ScoresKind
from edgecnn.bundle.finding import is_bundle, is_checkpoint, is_onnx
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.files.schema import plain
from edgecnn.pipeline.data.matching import match_classes
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.models.words import is_factory
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
    onnx: OnnxOptions | None = None,
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
        reference: a checkpoint folder, a weights file, a factory that returns trained weights, an ONNX file, or a
            `.npz` file with logits.
        simulate: predict the logits of an x86 CPU without VNNI, whose INT8 sums saturate. Writes no record.
        architecture: the architecture of a weights file, default the bundle's; for a checkpoint, the factory that built
            it.
        weights: properties that a weights file does not contain. Image size, stem and labels are the bundle's unless
            they are given; see `WeightsOptions` for the others.
        onnx: properties that an ONNX file does not contain. Its `weights` are those of `weights`.
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
    _check_described(reference, architecture, weights)
    if onnx is not None and not (reference is not None and is_onnx(reference)):
        raise UsageError(f"the options of an ONNX file need one as --reference, found {reference or 'none'}")
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
                described = _described(bundle, weights or WeightsOptions())
                compared = _reference_session(reference, bundle, architecture, described, onnx or OnnxOptions())
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
    bundle.check_one_graph("--simulate")
    if bundle.manifest.quantization is None:
        precision = bundle.manifest.precision.upper()
        raise UsageError(f"{bundle.path} is {precision}: --simulate predicts how INT8 sums saturate")
    from edgecnn.pipeline.quantization.simulation import simulate

    return simulate(bundle.model)


def _reference_session(
    path: Path, bundle: Bundle, architecture: str | None, described: WeightsOptions, onnx: OnnxOptions
) -> ReferenceSession:
    """Open a checkpoint, a weights file, an ONNX file or a factory."""
    from edgecnn.pipeline.export.exporting import open_reference
    from edgecnn.pipeline.importing.weights import open_weights
    from edgecnn.pipeline.models.registry import get_architecture
    from edgecnn.pipeline.reference import Reference, identity_of

    reference: Reference
    if is_onnx(path):
        from edgecnn.pipeline.importing.onnx_file.opening import open_onnx

        reference = open_onnx(path, replace(onnx, weights=described))
    elif path.is_file():
        network = bundle.manifest.network
        if architecture is None and network is None:
            raise UsageError(f"{bundle.path} does not name an architecture: add that of {path} with --arch")
        # Code that a bundle names is not imported: `get_architecture` refuses it.
        known = get_architecture(network.architecture) if network and architecture is None else architecture
        assert known is not None
        reference = open_weights(known, str(path), described)
    elif _is_code(path):
        reference = open_reference(str(path), options=described)
    elif architecture is not None:
        reference = open_reference(architecture, weights=str(path))
    else:
        reference = open_reference(str(path))
    if path.is_file() or _is_code(path):
        _check_preprocessing(path, reference.preprocessing, bundle)
    return ReferenceSession(str(path), identity_of(reference), reference.digest, reference.open())


def _check_described(reference: Path | None, architecture: str | None, weights: WeightsOptions | None) -> None:
    """Check that `--arch` and the options of weights are given for a reference that takes them."""
    is_file = reference is not None and reference.suffix != ".npz" and reference.is_file()
    is_named = reference is not None and is_checkpoint(reference)
    if architecture is not None and (not (is_file or is_named) or (reference is not None and is_onnx(reference))):
        raise UsageError(f"--arch needs weights or a checkpoint as --reference, found {reference or 'none'}")
    if weights is not None and not (is_file or (reference is not None and _is_code(reference))):
        raise UsageError(f"{weights.given} needs a weights file as --reference, found {reference or 'none'}")


def _is_code(path: Path) -> bool:
    """Return whether a reference is a factory such as `net.py:make`."""
    return is_factory(str(path)) and not path.exists()


def _described(bundle: Bundle, options: WeightsOptions) -> WeightsOptions:
    """Return the options of weights, with the bundle's where they are not given."""
    network, (height, width, _), scores = bundle.manifest.network, bundle.manifest.image_shape, bundle.manifest.scores
    if options.scores is None and scores.activation == "sigmoid":
        kind: ScoresKind = "multi-label" if scores.multi_label else "sigmoid"
        options = replace(options, scores=kind, threshold=scores.threshold if scores.multi_label else None)
    return replace(
        options,
        image_size=options.image_size or (None if options.crop else (height, width)),
        stem=options.stem or (network.stem if network else None),
        labels=options.labels or bundle.manifest.labels,
        labels_from=str(bundle.path) if options.labels is None else options.labels_from,
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
    split = match_classes(
        source.split("test"),
        source.labels,
        bundle.manifest.labels,
        str(bundle.path),
        multi_label=bundle.manifest.scores.multi_label,
    )
    check_unseen(bundle, split, strict=strict)
    return split
