"""Explain a checkpoint, or a bundle together with its checkpoint."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgecnn.bundle.decoding import ImageLike
from edgecnn.bundle.finding import MODEL
from edgecnn.bundle.manifest import FileEntry
from edgecnn.bundle.names import replace_invalid
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, EngineError, ProofFailed, UsageError
from edgecnn.explaining.explanation import Explanation
from edgecnn.files import schema
from edgecnn.files.digest import digest_bytes
from edgecnn.pipeline.explaining.grad_cam import grad_cam
from edgecnn.pipeline.explaining.module_rows import with_module_rows
from edgecnn.pipeline.export.exporting import manifest_of
from edgecnn.pipeline.proving import PARITY_TOLERANCE
from edgecnn.pipeline.reference import identity_of
from edgecnn.pipeline.torch_reference import TorchReference
from edgecnn.pipeline.training.checkpoint import open_checkpoint, read_checkpoint
from edgecnn.pipeline.transforms import network_input


def open_network(path: Path, architecture: str | None = None) -> TorchReference:
    """Open the PyTorch network of a checkpoint. `architecture` is the factory that built it, if it was one.

    Raises:
        CheckpointError: the folder is not an intact checkpoint, or of another network.
        UsageError: the architecture is unknown.
    """
    return read_checkpoint(path).reference if architecture is None else open_checkpoint(architecture, path)


def explain_network(
    reference: TorchReference, name: str, image: ImageLike, run: Callable[[Bundle], Explanation]
) -> Explanation:
    """Explain a PyTorch network: its graph is exported for this image, and Grad-CAM is added.

    Args:
        reference: the network.
        name: its name in the explanation.
        image: an image as `Preprocessing.image` takes it.
        run: explains a bundle for this image.

    Raises:
        ProofFailed: the logits of the graph differ from PyTorch's for this image.
        EngineError: Grad-CAM cannot be computed.
        EdgecnnError: PyTorch cannot export the network, or the file system is full.
    """
    with tempfile.TemporaryDirectory(prefix="edgecnn-") as folder:
        explanation = run(unproven_bundle(reference, name, Path(folder)))
    network, inputs = reference.module(), _inputs(reference, image)
    _check_logits(network, inputs, explanation)
    layers = with_module_rows(explanation.layers, network, inputs)
    explanation = replace(explanation, layers=layers, notes=(*explanation.notes, "not-proven"))
    return _with_grad_cam(explanation, network, inputs)


def add_grad_cam(explanation: Explanation, reference: TorchReference, image: ImageLike) -> Explanation:
    """Return the explanation with Grad-CAM of the same classes as occlusion.

    Raises:
        EngineError: the network fails, for example because an operator has no gradient.
    """
    return _with_grad_cam(explanation, reference.module(), _inputs(reference, image))


def _inputs(reference: TorchReference, image: ImageLike) -> torch.Tensor:
    """Return the normalised image, float32 [1, C, H, W]."""
    return network_input(reference.preprocessing.image(image)[None], reference.preprocessing)


def _with_grad_cam(explanation: Explanation, network: nn.Module, inputs: torch.Tensor) -> Explanation:
    targets = [each.target for each in explanation.attention]
    try:
        found = grad_cam(network, inputs, targets)
    except EdgecnnError:
        raise
    except Exception as error:  # the network may be the user's code
        text = " ".join(str(error).split())[:300]
        raise EngineError(f"PyTorch cannot compute Grad-CAM: {type(error).__name__}: {text}") from error
    return replace(explanation, attention=(*explanation.attention, *found))


def check_same_network(bundle: Bundle, reference: TorchReference, path: Path) -> None:
    """Check that a bundle was made from a checkpoint.

    Raises:
        UsageError: it was made from another one.
    """
    if bundle.manifest.reference.digest != identity_of(reference):
        raise UsageError(f"{bundle.path} was not made from {path}: name the checkpoint that was exported to it")


def unproven_bundle(reference: TorchReference, name: str, folder: Path) -> Bundle:
    """Export a network to a folder, without self-test and proof. Only an explanation may use the result.

    Raises:
        EdgecnnError: PyTorch cannot export the network, or the file system is full.
    """
    graph = reference.to_onnx()
    content = graph.SerializeToString()
    shape = (*reference.network.image_size, reference.network.in_channels)
    manifest = manifest_of(reference, replace_invalid(name), graph, shape=shape, command="edgecnn explain")
    manifest = replace(manifest, files={MODEL: FileEntry(digest_bytes(content), len(content))})
    try:
        (folder / MODEL).write_bytes(content)
    except OSError as error:
        raise EdgecnnError(
            f"cannot write a graph of {len(content) / 1e6:.1f} MB to a temporary folder: {error.strerror}; free some "
            f"space, or set TMPDIR to another folder"
        ) from None
    return Bundle(folder, manifest, digest_bytes(schema.dump(manifest).encode()))


def _check_logits(network: nn.Module, inputs: torch.Tensor, explanation: Explanation) -> None:
    """Compare the logits of the graph with PyTorch's.

    Raises:
        ProofFailed: they differ by more than `PARITY_TOLERANCE` of the largest logit.
    """
    with torch.inference_mode():
        expected = network(inputs)[0].numpy()
    error = float(np.abs(expected - np.array(explanation.logits)).max())
    if not error <= PARITY_TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ProofFailed(f"the exported graph differs from PyTorch: the largest logit error is {error:.3g}")
