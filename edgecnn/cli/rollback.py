"""`edgecnn rollback`: back to the version before."""

from pathlib import Path

import click

from edgecnn.cli.options import json_option
from edgecnn.cli.output import emit


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@json_option
def rollback(folder: Path, as_json: bool) -> None:
    """Let DIR/current lead to the version that was current when the present one was installed.

    Given again it goes further back, as long as there are versions. One that died half-way is finished, not done twice.
    """
    from edgecnn.archive.installing import rollback as go_back

    done = go_back(folder)
    text = f"rolled back from version {done.undone}: {done.current} leads to version {done.version}, {done.name}"
    if done.previous is not None:
        text += f"\n  a further rollback goes to version {done.previous}"
    emit(vars(done), text, as_json=as_json)
