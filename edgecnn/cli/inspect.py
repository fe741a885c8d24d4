"""`edgecnn inspect`: what a network is made of, one line a layer."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import json_option
from edgecnn.cli.output import columns, emit
from edgecnn.errors import UsageError

if TYPE_CHECKING:
    from edgecnn.bundle.manifest import Stem
    from edgecnn.bundle.store import Bundle
    from edgecnn.pipeline.inspection.layers import Inspection, Layer


@click.command()
@click.argument("subject", metavar="ARCH|CHECKPOINT|BUNDLE")
@click.option("--image-size", type=click.IntRange(min=1), help="Of an architecture. [default: its usual one]")
@click.option("--stem", type=click.Choice(["standard", "small"]), help="Of an architecture. [default: standard]")
@json_option
def inspect(subject: str, image_size: int | None, stem: "Stem | None", as_json: bool) -> None:
    """Show the layers of an architecture, a checkpoint or a bundle: one line each, and what they add up to.

    MACs are multiply-accumulates for one image, of convolutions and linear layers. The receptive field is the height
    and width, in pixels, of what one unit sees; a dash is the whole image. For a bundle it is the graph that runs on
    the device: batch norms are folded, and `int8` stands where integers are computed; of an INT8 bundle also what
    quantizing has done to each layer.
    """
    found, quantized = _inspect(subject, image_size, stem)
    text = _text(found)
    if quantized is not None and quantized["layers"]:
        from edgecnn.cli.layers import layers_text

        wins = "what leaving it in float would win"
        if all(layer.float_wins is None for layer in quantized["layers"]):
            wins += ": only quantize --analyze tells"
        title = f"what quantizing has done to each layer, worst first (signal to noise; {wins}):"
        text += f"\n\n{title}\n{layers_text(quantized['layers'], quantized['float_tensors'])}"
    from edgecnn.files.schema import plain

    emit(plain(found) | {"quantization": plain(quantized)}, text, as_json=as_json)


def _quantized(bundle: "Bundle") -> "dict[str, Any] | None":
    """Return what an INT8 bundle says of its layers; None for FP32."""
    quantization = bundle.manifest.quantization
    if quantization is None:
        return None
    from edgecnn.cli.layers import worst_first

    return {"layers": worst_first(bundle.proof().layers), "float_tensors": quantization.float_tensors}


def _inspect(subject: str, image_size: int | None, stem: "Stem | None") -> "tuple[Inspection, dict[str, Any] | None]":
    """Inspect whatever it is; of an INT8 bundle also return what quantizing has done."""
    path = Path(subject)
    if (path.exists() or "/" in subject) and (image_size, stem) != (None, None):
        raise UsageError("--image-size and --stem are for an architecture: a checkpoint or bundle has its own")
    if (path / "checkpoint.json").is_file():
        from edgecnn.pipeline.inspection.network import inspect_network
        from edgecnn.pipeline.training.checkpoint import read_checkpoint

        return inspect_network(read_checkpoint(path).record.network, path.name), None
    if path.exists() or "/" in subject:
        from edgecnn.bundle.store import open_bundle
        from edgecnn.pipeline.inspection.graph import inspect_bundle

        bundle = open_bundle(path)
        return inspect_bundle(bundle), _quantized(bundle)
    from edgecnn.pipeline.inspection.network import inspect_network
    from edgecnn.pipeline.models.registry import get_architecture

    return inspect_network(get_architecture(subject).usual(image_size=image_size, stem=stem or "standard")), None


def _text(found: "Inspection") -> str:
    height, width, channels = found.image_shape
    header = ("module", "kind", "output", "parameters", "MACs", "field", "")
    rows = [_row(layer) for layer in found.layers]
    total = ("", "total", "", f"{found.parameters:,}", f"{found.macs:,}", "", "")
    title = f"{found.subject}, image {height} × {width} × {channels}"
    return f"{title}\n\n{columns([header, *rows, total], right=(3, 4, 5))}"


def _row(layer: "Layer") -> tuple[str, ...]:
    return (
        layer.name,
        layer.kind,
        "" if layer.output_shape is None else "×".join(map(str, layer.output_shape)),
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.macs:,}" if layer.macs else "",
        "" if layer.output_shape is None else str(layer.receptive_field or "-"),
        "int8" if layer.precision == "int8" else "",
    )
