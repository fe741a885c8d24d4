"""`edgecnn serve`: serve bundles over HTTP, and optionally over gRPC."""

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
    """Serve each BUNDLE, and the bundles in each FOLDER, by the Open Inference Protocol. The default is ./exported.

    The manifest names the model. A model is ready when its self-test has passed. A folder NAME with bundles 1, 2, …
    is one model with versions: the server uses the highest, and loads a new version when its self-test has passed.
    From a site of `edgecnn install` it serves the current bundle.

    On SIGTERM the server answers accepted requests and exits. If the worker crashes, it is restarted. Changed files of
    certificate, private key and API key take effect within seconds, and at once on SIGHUP.
    """
    chosen = ServeOptions(**options)
    needed = _NEEDED if chosen.grpc_port is None else _NEEDED + _NEEDED_FOR_GRPC
    for name in needed if chosen.require_signature is None else needed + _NEEDED_TO_VERIFY:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    from edgecnn.server.models.catalogue import find_sources
    from edgecnn.server.supervisor.supervisor import supervise

    return supervise(find_sources(bundles), chosen, roots=bundles)
