"""The inspections of edgecnn's networks at their usual image size, from a generated table.

`scripts/networks.py` writes the table, and a test compares it with the networks. It saves the import of PyTorch, which
takes seconds.
"""

import functools
import json
from collections.abc import Iterable
from dataclasses import astuple, fields
from importlib.resources import files
from typing import TYPE_CHECKING

from edgecnn.pipeline.inspection.layers import Inspection, Layer, summed
from edgecnn.pipeline.models.registry import get_architecture, is_built_in

if TYPE_CHECKING:
    from edgecnn.bundle.manifest import Network

TABLE = "networks.json"


def tabled_inspection(network: "Network") -> Inspection | None:
    """Return the inspection of a network; None if the table does not contain it.

    Raises:
        UsageError: the architecture is unknown.
    """
    architecture = get_architecture(network.architecture)
    if not is_built_in(architecture) or network != architecture.usual():
        return None
    rows = _table()[architecture.name]
    return summed(architecture.name, (*network.image_size, network.in_channels), map(_layer, rows))


def table_text(inspections: Iterable[Inspection]) -> str:
    """Return the table as JSON: for each network a list of layers, each with the values of the fields of `Layer`."""
    networks = []
    for each in inspections:
        rows = ",\n".join(f"  {json.dumps(astuple(layer), ensure_ascii=False)}" for layer in each.layers)
        networks.append(f" {json.dumps(each.subject)}: [\n{rows}\n ]")
    return "{\n" + ",\n".join(networks) + "\n}\n"


@functools.cache
def _table() -> dict[str, list[list[object]]]:
    found: dict[str, list[list[object]]] = json.loads((files(__package__) / TABLE).read_text(encoding="utf-8"))
    return found


def _layer(row: list[object]) -> Layer:
    values = {field.name: value for field, value in zip(fields(Layer), row, strict=True)}
    shape = values["output_shape"]
    return Layer(**values | {"output_shape": tuple(shape) if isinstance(shape, list) else None})  # type: ignore[arg-type]
