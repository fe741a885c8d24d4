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
