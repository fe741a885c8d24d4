"""`edgecnn models`: the architectures, and what each costs."""

import click

from edgecnn.cli.options import json_option
from edgecnn.cli.output import columns, emit


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List the architectures: parameters and MACs at the usual image size, and the smallest that each takes.

    Parameters include heads that only training uses. MACs are multiply-accumulates for one image.
    """
    from edgecnn.pipeline.inspection.network import inspect_network
    from edgecnn.pipeline.models.registry import architectures

    found = [(architecture, inspect_network(architecture.usual())) for architecture in architectures()]
    result = [
        {
            "name": architecture.name,
            "parameters": inspected.parameters,
            "macs": inspected.macs,
            "image_size": architecture.image_size,
            "min_image_size": architecture.min_image_size,
            "max_image_size": architecture.max_image_size,
            "in_channels": architecture.in_channels,
            "num_classes": architecture.num_classes,
            "stems": architecture.stems,
        }
        for architecture, inspected in found
    ]
    header = ("name", "parameters", "million MACs", "image", "smallest", "classes")
    rows = [
        (
            architecture.name,
            f"{inspected.parameters:,}",
            f"{inspected.macs / 1e6:,.1f}",
            "×".join(map(str, inspected.image_shape)),
            str(architecture.min_image_size),
            str(architecture.num_classes),
        )
        for architecture, inspected in found
    ]
    emit(result, columns([header, *rows], right=(1, 2, 3, 4, 5)), as_json=as_json)
