"""Write the table from which `edgecnn models` and `edgecnn inspect` answer without PyTorch.

Run it after a change of a network or of the inspection:

    python -m scripts.networks
"""

from pathlib import Path

from edgecnn.pipeline.inspection import tabled
from edgecnn.pipeline.inspection.network import inspect_network
from edgecnn.pipeline.models.registry import architectures


def fresh_table() -> str:
    """Return the table of all networks of edgecnn, from a new inspection."""
    return tabled.table_text(inspect_network(each.usual()) for each in architectures())


if __name__ == "__main__":
    Path(tabled.__file__).with_name(tabled.TABLE).write_text(fresh_table(), encoding="utf-8")
