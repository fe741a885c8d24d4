"""`edgecnn sign`: sign a bundle with a private key."""

from pathlib import Path

import click

from edgecnn.cli.options import PATH, force_option, json_option
from edgecnn.cli.output import emit
from edgecnn.cli.subjects import possible_bundle


@click.command()
@click.argument("bundle", type=PATH, callback=possible_bundle)
@click.option("--key", required=True, type=PATH, help="PEM file with a private key, on P-256, P-384 or P-521.")
@click.option("--out", type=PATH, help="Signature file. [default: BUNDLE.sig, next to the bundle]")
@force_option
@json_option
def sign(bundle: Path, key: Path, out: Path | None, force: bool, as_json: bool) -> None:
    """Sign BUNDLE for `verify --key` and `serve --require-signature`.

    The signature uses OpenSSF's model-signing with a key pair, and needs no network. docs/signing.md describes how to
    create the keys. The bundle is not changed.
    """
    from edgecnn.archive.openssf import sign as run

    found = run(bundle, key=key, out=out, force=force)
    emit(found, f"{found.signature} signs {found.name}, digest {found.bundle[:12]}…", as_json=as_json)
