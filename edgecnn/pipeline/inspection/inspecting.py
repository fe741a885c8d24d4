"""Inspect an architecture, a checkpoint or a bundle.

PyTorch is imported for checkpoints, and for architectures that the generated table does not contain.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.bundle.finding import is_checkpoint, other_than_bundle
from edgecnn.bundle.layer_report import LayerReport, LowRankLayer
from edgecnn.bundle.manifest import Network, Stem
from edgecnn.bundle.proof import PreprocessingCheck
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import UsageError
from edgecnn.pipeline.inspection.layers import Inspection
from edgecnn.pipeline.inspection.tabled import tabled_inspection
from edgecnn.pipeline.models.words import is_factory

if TYPE_CHECKING:
    from edgecnn.pipeline.importing.onnx_file.describing import Description


@dataclass(frozen=True)
class QuantizedLayers:
    """The layers of a quantized bundle.

    Attributes:
        layers: the layers of an INT8 bundle, worst first.
        float_tensors: the float tensors of an INT8 or FP16 bundle, with the reason.
        low_rank: the linear layers that smaller ones replace.
    """

    layers: tuple[LayerReport, ...]
    float_tensors: dict[str, str]
    low_rank: tuple[LowRankLayer, ...] = ()


@dataclass(frozen=True)
class Inspected:
    """The result of an inspection.

    Attributes:
        inspection: the layers; of a cascade, those of its fast graph.
        quantization: of INT8 bundles, and of FP16 bundles with float tensors.
        preprocessing: how the preprocessing of a bundle was checked; see `Proof`.
        checked_images: number of answers or image files that the check compared; see `Proof`.
        accurate: the layers of the accurate graph of a cascade, else None.
    """

    inspection: Inspection
    quantization: QuantizedLayers | None = None
    preprocessing: PreprocessingCheck | None = None
    checked_images: int | None = None
    accurate: Inspection | None = None

    def _repr_html_(self) -> str:
        """Return the layers as a table, for notebooks."""
        return self.inspection._repr_html_()


@dataclass(frozen=True)
class ArchitectureCost:
    """The parameters and MACs of an architecture at its default image size; for other fields see `Architecture`.

    Parameters include heads used in training only. MACs are multiply-accumulates for one image.
    """

    name: str
    parameters: int
    macs: int
    image_size: int
    min_image_size: int
    max_image_size: int | None
    in_channels: int
    num_classes: int
    stems: tuple[str, ...]


def inspect(subject: str, *, image_size: int | tuple[int, int] | None = None, stem: Stem | None = None) -> Inspected:
    """Inspect an architecture, a checkpoint or a bundle.

    Args:
        subject: an architecture's name, a factory such as `net.py:make`, or the path of a checkpoint or bundle. An
            existing path, or other text with a slash, is a path.
        image_size: for an architecture. The default is its default size.
        stem: for an architecture. The default is `standard`.

    Raises:
        UsageError: the architecture is unknown, it does not accept the image size, or `image_size` or `stem` is given
            with a checkpoint or bundle.
        CheckpointError, BundleError: the path cannot be read.
    """
    path = Path(subject)
    if not path.exists() and (is_factory(subject) or ("/" not in subject and other_than_bundle(path) is None)):
        return _architecture(subject, image_size, stem or "standard")
    _check_path_options(image_size, stem)
    if is_checkpoint(path):
        from edgecnn.pipeline.inspection.network import inspect_network
        from edgecnn.pipeline.training.checkpoint import read_checkpoint

        network = read_checkpoint(path).record.network
        if is_factory(network.architecture):
            name = network.architecture
            raise UsageError(f"{path} was built by {name}, which only you can name: edgecnn inspect {name}")
        return Inspected(inspect_network(network, path.name))
    from edgecnn.pipeline.inspection.graph import inspect_bundle

    bundle = open_bundle(path)
    if bundle.manifest.cascade is not None:
        return Inspected(inspect_bundle(bundle), accurate=inspect_bundle(bundle, stage="accurate"))
    graph = bundle.manifest.graph
    left = graph.float_tensors if graph.quantization is None else graph.quantization.float_tensors
    proof = bundle.proof()
    quantized = None if left is None else QuantizedLayers(_worst_first(proof.layers), left, proof.low_rank)
    return Inspected(inspect_bundle(bundle), quantized, proof.preprocessing, proof.checked_images)


def inspect_onnx(
    path: Path, *, image_size: int | tuple[int, int] | None = None, stem: Stem | None = None
) -> "Description":
    """Describe an ONNX file from another tool, in a child process with limits on time and memory.

    Args:
        path: the file.
        image_size: for an architecture; not valid here.
        stem: for an architecture; not valid here.

    Raises:
        UsageError: `image_size` or `stem` is given.
        OnnxFileError: the file cannot be read.
    """
    _check_path_options(image_size, stem)
    from edgecnn.pipeline.importing.onnx_file.trial import describe_onnx

    return describe_onnx(path)


def _check_path_options(image_size: int | tuple[int, int] | None, stem: Stem | None) -> None:
    if (image_size, stem) != (None, None):
        raise UsageError("--image-size and --stem are valid for an architecture only: remove them for a path")


def _architecture(word: str, image_size: int | tuple[int, int] | None, stem: Stem) -> Inspected:
    """Inspect an architecture that the user names."""
    from edgecnn.pipeline.models.registry import check_network, get_architecture

    if not is_factory(word):  # check a name before PyTorch is imported
        network = get_architecture(word).usual(image_size=image_size, stem=stem)
        check_network(network)
        tabled = tabled_inspection(network)
        if tabled is not None:
            return Inspected(tabled)
    from edgecnn.pipeline.importing.describing import run_once
    from edgecnn.pipeline.importing.options import WeightsOptions
    from edgecnn.pipeline.inspection.network import inspect_network
    from edgecnn.pipeline.user_network import named_architecture

    known = named_architecture(word)
    network = known.usual(image_size=image_size, stem=stem)
    if known.kind == "module":
        network = run_once(known, network, WeightsOptions(image_size=network.image_size if image_size else None))
    return Inspected(inspect_network(network))


def architecture_costs() -> tuple[ArchitectureCost, ...]:
    """Return all architectures at their default image size, in order of publication."""
    from edgecnn.pipeline.models.registry import architectures

    found = []
    for each in architectures():
        inspected = tabled_inspection(each.usual()) or _inspected(each.usual())
        found.append(
            ArchitectureCost(
                name=each.name,
                parameters=inspected.parameters,
                macs=inspected.macs,
                image_size=each.image_size,
                min_image_size=each.min_image_size,
                max_image_size=each.max_image_size,
                in_channels=each.in_channels,
                num_classes=each.num_classes,
                stems=each.stems,
            )
        )
    return tuple(found)


def _inspected(network: Network) -> Inspection:
    from edgecnn.pipeline.inspection.network import inspect_network  # imports PyTorch

    return inspect_network(network)


def _worst_first(layers: tuple[LayerReport, ...]) -> tuple[LayerReport, ...]:
    """Sort layers by signal-to-noise ratio. Layers that were tried in float are already sorted."""
    if any(layer.float_wins is not None for layer in layers):
        return layers

    def ratio(layer: LayerReport) -> float:
        return min(math.inf if each is None else each for each in (layer.weight_snr_db, layer.input_snr_db))

    return tuple(sorted(layers, key=ratio))
