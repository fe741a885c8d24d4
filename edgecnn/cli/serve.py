"""`edgecnn serve`: bundles over HTTP, and over gRPC where that is asked for."""

import importlib.util
from pathlib import Path
from typing import Any

import click

from edgecnn.cli.options import PATH, dataclass_options
from edgecnn.server.options import ServeOptions

_NEEDED = ("httptools", "orjson", "prometheus_client")
_NEEDED_FOR_GRPC = ("grpc", "google.protobuf")
_NEEDED_TO_VERIFY = ("model_signing", "OpenSSL")


@click.command()
@click.argument("bundles", metavar="[BUNDLE|FOLDER]...", nargs=-1, type=PATH)
@dataclass_options(ServeOptions)
def serve(bundles: tuple[Path, ...], **options: Any) -> int:
    """Serve each BUNDLE, and those in each FOLDER, by the Open Inference Protocol; alone, those in ./exported.

    A model is named by its manifest, and is ready once its self-test has been replayed. A folder NAME with bundles 1,
    2, … is one model with versions: the highest is served, and a new one as soon as it has proven itself. Of a folder
    that `edgecnn install` keeps the current bundle is served.

    SIGTERM ends the server when what it has accepted is answered; the worker is started again if it crashes.
    """
    chosen = ServeOptions(**options)
    needed = _NEEDED if chosen.grpc_port is None else _NEEDED + _NEEDED_FOR_GRPC
    for name in needed if chosen.require_signature is None else needed + _NEEDED_TO_VERIFY:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    from edgecnn.server.models.catalogue import find_sources
    from edgecnn.server.supervisor.supervisor import supervise

    return supervise(find_sources(bundles), chosen, roots=bundles)
