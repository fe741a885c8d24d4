"""`edgecnn.export` and `edgecnn.import_onnx`: convert a network to a proven FP32 bundle."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.bundle.finding import check_new_bundle
from edgecnn.bundle.names import check_name
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.pipeline.models.words import is_factory
from edgecnn.progress import Progress, silent
from edgecnn.stages.describing import onnx_options, weights_options
from edgecnn.stages.strictness import warnings_as_errors

if TYPE_CHECKING:
    from torch import nn

    from edgecnn.bundle.preprocessing import Preprocessing
    from edgecnn.pipeline.checking.checks import PreprocessingChecks
    from edgecnn.pipeline.importing.options import WeightsOptions
    from edgecnn.pipeline.reference import Reference
    from edgecnn.pipeline.torch_reference import TorchReference


def export(
    network: "str | Path | nn.Module",
    out: str | Path,
    *,
    weights: str | Path | None = None,
    preprocessing: "Preprocessing | None" = None,
    data: str | Path | None = None,
    expect: str | Path | None = None,
    preprocess: str | None = None,
    unsure_margin: float | None = None,
    force: bool = False,
    strict: bool = False,
    command: str = "edgecnn.export",
    progress: Progress = silent,
    **options: Any,
) -> Bundle:
    """Export a network to an FP32 bundle, and prove it on every installed engine.

    Args:
        network: a checkpoint folder; an architecture, `torchvision:NAME`, `timm:NAME` or `file.py:factory` with
            `weights`; or a module in memory, which takes normalised float32 [N, C, H, W] and returns logits [N, K].
        out: the bundle's folder. Its name becomes the bundle's name.
        weights: a state dict (`.pth`, `.safetensors`), the name of torchvision weights, or a checkpoint.
        preprocessing: of a module in memory. It replaces the options of the preprocessing.
        data: images for the proof. The default is the training source, or photographs.
        expect: your own answers to your own images (`.csv` or `.npz`), to check the preprocessing.
        preprocess: your own preprocessing, `package.module:function` or `file.py:function`, to compare with.
        unsure_margin: the margin, in logits, below which an answer is unsure. The default is chosen from labelled
            images: those that training held out, or the images of the proof. 0 means that no answer is unsure.
        force: replace an existing bundle.
        strict: turn warnings into errors.
        command: command line to record in the manifest.
        progress: called at each stage.
        options: what weights do not say, such as `image_size=224`, `mean=…`, `labels=…` or `scores="multi-label"`;
            see `WeightsOptions`. `labels` are class names, or the path of a file with class names.

    Warns:
        WeightsNote: something was unwrapped or assumed.
        UntrainedWarning: the network is no better than chance on the images of the proof.
        PreprocessingWarning: its top-1 is clearly higher with another preprocessing.

    Raises:
        UsageError: an option is missing or not valid, or `out` already exists.
        CheckpointError: the weights cannot be read, or do not match the network.
        SourceError: images are missing, or have other classes.
        ProofFailed: the answers differ from the reference's. No bundle is written.
    """
    _check_out(out, force=force)
    given = weights_options(options)
    if isinstance(network, str | Path):
        if preprocessing is not None:
            raise UsageError("preprocessing is for a module in memory: use image_size, mean and std instead")
        check_weights_given(str(network), weights, options)
    elif weights is not None:
        raise UsageError("a module in memory has its own weights: load them into it, and remove weights")
    from edgecnn.pipeline.export.exporting import open_reference

    checks = _checks(expect, preprocess)
    with warnings_as_errors(when=strict):
        reference: Reference
        if isinstance(network, str | Path):
            state = None if weights is None else str(weights)
            reference = open_reference(str(network), weights=state, options=given)
        else:
            reference = _in_memory(network, preprocessing, given)
        return _proven(reference, out, data, checks, unsure_margin, force=force, command=command, progress=progress)


def import_onnx(
    file: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    expect: str | Path | None = None,
    preprocess: str | None = None,
    unsure_margin: float | None = None,
    force: bool = False,
    strict: bool = False,
    command: str = "edgecnn.import_onnx",
    progress: Progress = silent,
    **options: Any,
) -> Bundle:
    """Import an ONNX classifier to an FP32 bundle, and prove it on every installed engine.

    The reference is the untouched file in ONNX Runtime, without graph optimizations.

    Args:
        file: the ONNX file, at opset 7 to 24.
        out: the bundle's folder. Its name becomes the bundle's name.
        data: images for the proof. The default is photographs.
        expect: see `export`.
        preprocess: see `export`.
        unsure_margin: see `export`.
        force: replace an existing bundle.
        strict: turn warnings into errors.
        command: command line to record in the manifest.
        progress: called at each stage.
        options: what the file does not say: `channel_order`, `layout`, `output` and `widen`, see `OnnxOptions`, and
            the options of `export`.

    Warns:
        WeightsNote, UntrainedWarning, PreprocessingWarning: see `export`.

    Raises:
        UsageError: an option is missing or does not fit the graph, or `out` already exists.
        OnnxFileError, UnsupportedOperator: the file cannot be read, or its graph is no image classifier.
        SourceError: images are missing.
        ProofFailed: the answers differ from the file's. No bundle is written.
    """
    _check_out(out, force=force)
    described = onnx_options(options)
    from edgecnn.pipeline.importing.onnx_file.opening import open_onnx

    checks = _checks(expect, preprocess)
    with warnings_as_errors(when=strict):
        reference = open_onnx(Path(file), described)
        return _proven(reference, out, data, checks, unsure_margin, force=force, command=command, progress=progress)


def check_weights_given(network: str, weights: object, options: Mapping[str, Any]) -> None:
    """Check that options of weights are used with weights, or with a factory.

    Raises:
        UsageError: they are given, but the weights are missing.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given and weights is None and not is_factory(network):
        raise UsageError(f"{', '.join(given)} require --weights, which is missing: add --weights FILE|NAME")


def _in_memory(
    module: "nn.Module", preprocessing: "Preprocessing | None", given: "WeightsOptions | None"
) -> "TorchReference":
    """Return a module in memory as a reference.

    Raises:
        UsageError: the preprocessing and the options contradict each other, or the image size is unknown.
    """
    from edgecnn.pipeline.importing.options import WeightsOptions
    from edgecnn.pipeline.importing.weights import from_architecture
    from edgecnn.pipeline.user_network import module_architecture

    options = given or WeightsOptions()
    if preprocessing is not None:
        if options.states_preprocessing:
            raise UsageError(f"{options.given} are part of preprocessing: remove them")
        size = preprocessing.crop or (preprocessing.resize.size if preprocessing.resize is not None else ())
        if len(size) != 2:
            raise UsageError("preprocessing must set the height and width of the image: add a crop")
        options = replace(options, image_size=(size[0], size[1]))
    return from_architecture(module_architecture(module, preprocessing), options)


def _check_out(out: str | Path, *, force: bool) -> None:
    check_name(Path(out).name)
    check_new_bundle(Path(out), force=force)


def _checks(expect: str | Path | None, preprocess: str | None) -> "PreprocessingChecks":
    from edgecnn.pipeline.checking.checks import PreprocessingChecks

    return PreprocessingChecks.named(None if expect is None else Path(expect), preprocess)


def _proven(
    reference: "Reference",
    out: str | Path,
    data: str | Path | None,
    checks: "PreprocessingChecks",
    unsure_margin: float | None,
    *,
    force: bool,
    command: str,
    progress: Progress,
) -> Bundle:
    from edgecnn.pipeline.export.exporting import export as run

    source = None if data is None else str(data)
    return run(
        reference,
        Path(out),
        data=source,
        checks=checks,
        unsure_margin=unsure_margin,
        command=command,
        force=force,
        progress=progress,
    )
