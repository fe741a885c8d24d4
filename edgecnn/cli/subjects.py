"""Checks of arguments that name an architecture, a checkpoint, weights or a bundle, before PyTorch is imported."""

import shlex
from pathlib import Path

import click

from edgecnn.bundle.finding import (
    CHECKPOINT,
    check_new_bundle,
    is_bundle,
    is_checkpoint,
    is_onnx,
    is_weights,
    other_than_bundle,
    why_not_a_bundle,
)
from edgecnn.bundle.names import check_name
from edgecnn.errors import BundleError, BundleNotFound, CheckpointError, UsageError


def known_architecture(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    """Check the name of an architecture, if there is one; raise `UsageError` if it is unknown.

    The code of a factory is not imported here, but after the other options are checked.
    """
    from edgecnn.pipeline.models.registry import get_architecture
    from edgecnn.pipeline.models.words import is_factory

    return name if name is None or is_factory(name) else get_architecture(name).name


def possible_bundle(context: click.Context, parameter: click.Parameter, path: Path) -> Path:
    """Check that a path is not a checkpoint, weights or another file; raise `BundleNotFound` if it is.

    A path that does not exist passes: the command reports it, after missing options.
    """
    if other_than_bundle(path) is not None:
        raise BundleNotFound(why_not_a_bundle(path))
    return path


def possible_export(context: click.Context, parameter: click.Parameter, subject: str) -> str:
    """Check the subject of `export`, as far as possible without the options.

    Raises:
        UsageError: it is a file with weights, an ONNX file, or resembles the name of an architecture.
        BundleError: it is a bundle.
    """
    path = Path(subject)
    if path.is_file() and path.suffix == ".py":
        raise UsageError(f"{subject} is Python code: name the function that returns the network, as in {subject}:make")
    if is_weights(path):
        weights = shlex.quote(subject)
        raise UsageError(
            f"{subject} is a file with weights: name its architecture: "
            f"edgecnn export ARCH --weights {weights} --out FOLDER"
        )
    if is_onnx(path):
        raise UsageError(f"{subject} {other_than_bundle(path)}")
    if is_bundle(path):
        raise BundleError(f"{subject} is a bundle already: expected a checkpoint, or an architecture with --weights")
    if not path.exists():
        from edgecnn.pipeline.models.registry import closest_architecture, get_architecture
        from edgecnn.pipeline.models.words import is_packaged

        if is_packaged(subject) or ("/" not in subject and closest_architecture(subject) is not None):
            get_architecture(subject)
    return subject


def check_export(subject: str, out: Path, *, weights: str | None, force: bool) -> None:
    """Check what `export` reads and writes, without reading weights.

    Raises:
        UsageError: the architecture is unknown or has no weights, `out` exists, or its name is not valid.
        CheckpointError: the checkpoint or the file with weights does not exist.
    """
    check_name(out.name)
    check_new_bundle(out, force=force)
    from edgecnn.pipeline.models.registry import get_architecture
    from edgecnn.pipeline.models.words import is_factory

    if weights is None:
        if not is_factory(subject):
            check_checkpoint(subject, otherwise="add --weights FILE|NAME")
        return
    if not is_factory(subject):
        get_architecture(subject)
    if not Path(weights).exists() and (is_weights(Path(weights)) or "/" in weights):
        raise CheckpointError(f"{weights} does not exist: expected a file, or the name of torchvision weights")


def check_import(path: Path, out: Path, *, force: bool) -> None:
    """Check what `import` reads and writes, without reading the file.

    Raises:
        UsageError: the path is a checkpoint or weights, `out` exists, or its name is not valid.
        BundleError: the path is a bundle.
    """
    if is_bundle(path):
        raise BundleError(f"{path} is a bundle already: expected an ONNX file")
    if is_weights(path) or is_checkpoint(path):
        raise UsageError(f"{path} {other_than_bundle(path)}")
    check_name(out.name)
    check_new_bundle(out, force=force)


def check_checkpoint(subject: str, *, otherwise: str) -> None:
    """Check that a folder is a checkpoint. `read_checkpoint` checks whether it is intact.

    Args:
        subject: the path.
        otherwise: what to do with the name of an architecture.

    Raises:
        UsageError: the subject is the name of an architecture.
        CheckpointError: the folder does not exist, or is not a checkpoint.
    """
    path = Path(subject)
    if is_checkpoint(path):
        return
    if path.exists():
        raise CheckpointError(f"{subject} is not a checkpoint: it has no {CHECKPOINT}; `edgecnn train` writes one")
    from edgecnn.pipeline.models.registry import architectures
    from edgecnn.pipeline.models.words import is_packaged

    if is_packaged(subject) or subject in [each.name for each in architectures()]:
        raise UsageError(f"{subject} is an architecture: {otherwise}, or pass a checkpoint instead")
    raise CheckpointError(f"{subject} is not a checkpoint: found nothing there; `edgecnn train` writes one")
