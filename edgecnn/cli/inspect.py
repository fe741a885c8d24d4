"""`edgecnn inspect` and `edgecnn models`: list the layers of a network, and the costs of the architectures."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecnn.bundle.finding import is_bundle, is_onnx
from edgecnn.cli.bundle_text import layers_text, low_rank_lines
from edgecnn.cli.checks import checked_text
from edgecnn.cli.completion import complete_architecture_or_path
from edgecnn.cli.options import SidesType, json_option
from edgecnn.cli.output import columns, emit

if TYPE_CHECKING:
    from edgecnn.bundle.manifest import Stem
    from edgecnn.pipeline.importing.onnx_file.describing import Description
    from edgecnn.pipeline.inspection.inspecting import Inspected
    from edgecnn.pipeline.inspection.layers import Inspection


@click.command()
@click.argument("subject", metavar="ARCH|CHECKPOINT|BUNDLE|FILE.onnx", shell_complete=complete_architecture_or_path)
@click.option("--image-size", type=SidesType(), help="Image size of an architecture. [default: its usual size]")
@click.option("--stem", type=click.Choice(["standard", "small"]), help="Stem of an architecture. [default: standard]")
@json_option
def inspect(subject: str, image_size: int | tuple[int, int] | None, stem: "Stem | None", as_json: bool) -> None:
    """List the layers of an architecture, a checkpoint or a bundle, with totals, or describe an ONNX file.

    ARCH may also be torchvision:NAME, timm:NAME, or a factory such as net.py:make.

    MACs are multiply-accumulates of convolutions and linear layers for one image. The receptive field is the height
    and width in pixels that affect one unit; a dash means the whole image, a question mark that it is unknown. `as
    dense` is the number of parameters that a dense layer would need for the mapping of a convolution. Dropout does
    nothing after training. The softmax turns logits into scores; it is not part of the network, `predict` computes it.
    For a bundle the layers belong to the graph: batch norms are folded, `int8` marks integer layers, and `int4` linear
    layers with weights in 4 bits. For an INT8 bundle a second table shows the effect of quantization on each layer, and
    a third one its low-rank layers. A cascade has a table for each graph. For an ONNX file from another tool, the last
    line is the command that imports it; words in capital letters must be filled in.
    """
    from edgecnn.files.schema import plain
    from edgecnn.pipeline.inspection.inspecting import inspect as run

    path = Path(subject)
    if is_onnx(path) and not is_bundle(path.parent):
        from edgecnn.pipeline.inspection.inspecting import inspect_onnx

        described = inspect_onnx(path, image_size=image_size, stem=stem)
        emit(described, _onnx_text(path, described), as_json=as_json)
        return
    found = run(subject, image_size=image_size, stem=stem)
    result = plain(found.inspection) | {
        "quantization": plain(found.quantization),
        "preprocessing": found.preprocessing,
        "checked_images": found.checked_images,
        "accurate": plain(found.accurate),
    }
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
    text = "\n".join([_table(found.inspection), *checked_text(found.preprocessing, found.checked_images)])
    quantized = found.quantization
    if found.accurate is not None:
        return f"{text}\n\n{_table(found.accurate)}"
    if quantized is None:
        return text
    if not quantized.layers:
        rows = [f"  {name}: {reason}" for name, reason in quantized.float_tensors.items()]
        return "\n".join([text, "", "tensors that stay in float32:", *rows])
    wins = "`float wins`: gain of leaving the layer in float"
    if all(layer.float_wins is None for layer in quantized.layers):
        wins += ", measured only by quantize --analyze"
    title = f"effect of quantization on each layer, worst first (signal to noise; {wins}):"
    table = layers_text(quantized.layers, quantized.float_tensors)
    return "\n".join([text, "", title, table, *low_rank_lines(quantized.low_rank)])


def _onnx_text(path: Path, found: "Description") -> str:
    opsets = ", ".join(f"{domain} {version}" for domain, version in found.opsets.items())
    rows = [
        ("producer", found.producer or "unknown"),
        ("opset", f"{opsets}; IR version {found.ir_version}"),
        ("size", f"{found.size_bytes / 1024:,.0f} KiB, {found.parameters:,} parameters"),
        *(("input", f"{each.name}: {each.type}") for each in found.inputs),
        *(("output", f"{each.name}: {each.type}") for each in found.outputs),
        ("operators", ", ".join(f"{name} {count}" for name, count in found.operators.items())),
    ]
    last = f"cannot be imported: {found.reason}" if found.command is None else f"import it: {found.command}"
    return f"{path}\n\n{columns(rows)}\n\n{last}"


def _table(found: "Inspection") -> str:
    from edgecnn.pipeline.inspection.layers import COLUMNS

    rows = [layer.cells() for layer in found.layers]
    total = ("", "total", "", f"{found.parameters:,}", f"{found.macs:,}", "", "", "")
    table = columns([(*COLUMNS[:-1], ""), *rows, total], right=(3, 4, 5, 6), optional=(6, 5))
    return f"{found.title}\n\n{table}{_sharing(found)}"


def _sharing(found: "Inspection") -> str:
    """Return a line that compares the convolutions, which share their weights, with dense layers."""
    from edgecnn.pipeline.inspection.layers import in_short

    if not found.convolution_parameters:
        return ""
    dense = in_short(found.dense_parameters)
    return f"\ndense layers in place of convolutions: {dense} parameters instead of {found.convolution_parameters:,}"
