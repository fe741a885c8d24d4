"""`edgecnn inspect` and `edgecnn models`: list the layers of a network, and the costs of the architectures."""

from typing import TYPE_CHECKING

import click

from edgecnn.cli.bundle_text import layers_text
from edgecnn.cli.completion import complete_architecture_or_path
from edgecnn.cli.options import POSITIVE, json_option
from edgecnn.cli.output import columns, emit

if TYPE_CHECKING:
    from edgecnn.bundle.manifest import Stem
    from edgecnn.pipeline.inspection.inspecting import Inspected
    from edgecnn.pipeline.inspection.layers import Inspection, Layer


@click.command()
@click.argument("subject", metavar="ARCH|CHECKPOINT|BUNDLE", shell_complete=complete_architecture_or_path)
@click.option("--image-size", type=POSITIVE, help="Image size of an architecture. [default: its usual size]")
@click.option("--stem", type=click.Choice(["standard", "small"]), help="Stem of an architecture. [default: standard]")
@json_option
def inspect(subject: str, image_size: int | None, stem: "Stem | None", as_json: bool) -> None:
    """List the layers of an architecture, a checkpoint or a bundle, with totals.

    MACs are multiply-accumulates of convolutions and linear layers for one image. The receptive field is the height
    and width in pixels that affect one unit; a dash means the whole image. For a bundle the layers belong to the
    graph: batch norms are folded, and `int8` marks integer layers. For an INT8 bundle a second table shows the effect
    of quantization on each layer.
    """
    from edgecnn.files.schema import plain
    from edgecnn.pipeline.inspection.inspecting import inspect as run

    found = run(subject, image_size=image_size, stem=stem)
    result = plain(found.inspection) | {"quantization": plain(found.quantization)}
    emit(result, _text(found), as_json=as_json)


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List the architectures with parameters and MACs at the usual image size, and the smallest image size.

    Parameters include heads that are used only in training. MACs are multiply-accumulates for one image.
    """
    from edgecnn.pipeline.inspection.inspecting import architecture_costs

    found = architecture_costs()
    header = ("name", "parameters", "million MACs", "image", "smallest", "classes")
    rows = [
        (
            each.name,
            f"{each.parameters:,}",
            f"{each.macs / 1e6:,.1f}",
            f"{each.image_size}×{each.image_size}×{each.in_channels}",
            str(each.min_image_size),
            str(each.num_classes),
        )
        for each in found
    ]
    emit(found, columns([header, *rows], right=(1, 2, 3, 4, 5)), as_json=as_json)


def _text(found: "Inspected") -> str:
    text = _table(found.inspection)
    quantized = found.quantization
    if quantized is None:
        return text
    if not quantized.layers:
        rows = [f"  {name}: {reason}" for name, reason in quantized.float_tensors.items()]
        return "\n".join([text, "", "tensors that stay in float32:", *rows])
    wins = "`float wins`: gain of leaving the layer in float"
    if all(layer.float_wins is None for layer in quantized.layers):
        wins += ", measured only by quantize --analyze"
    title = f"effect of quantization on each layer, worst first (signal to noise; {wins}):"
    return f"{text}\n\n{title}\n{layers_text(quantized.layers, quantized.float_tensors)}"


def _table(found: "Inspection") -> str:
    height, width, channels = found.image_shape
    header = ("module", "kind", "output", "parameters", "MACs", "field", "")
    rows = [_row(layer) for layer in found.layers]
    total = ("", "total", "", f"{found.parameters:,}", f"{found.macs:,}", "", "")
    title = f"{found.subject}, image {height} × {width} × {channels}"
    return f"{title}\n\n{columns([header, *rows, total], right=(3, 4, 5), optional=(5,))}"


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
