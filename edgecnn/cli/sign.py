"""`edgecnn sign`: say who made a bundle, in a file beside it."""

from pathlib import Path

import click

from edgecnn.cli.options import PATH, force_option, json_option
from edgecnn.cli.output import emit


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--key", required=True, type=PATH, help="PEM file with a private key, on P-256, P-384 or P-521.")
@click.option("--out", type=PATH, help="The signature's file. [default: BUNDLE.sig, beside it]")
@force_option
@json_option
def sign(bundle: Path, key: Path, out: Path | None, force: bool, as_json: bool) -> None:
    """Sign BUNDLE, so that `verify --key` and `serve --require-signature` know by the public key who made it.

    It is a signature of OpenSSF's model-signing, with a key pair; nobody is asked over a network. docs/signing.md makes
    the keys. The bundle itself is only read.
    """
    from edgecnn.archive.openssf import sign as run

    found = run(bundle, key=key, out=out, force=force)
    emit(found, f"{found.signature} signs {found.name}, digest {found.bundle[:12]}…", as_json=as_json)
