"""`edgecnn sign`: say who made a bundle, in a file beside it."""

from dataclasses import dataclass
from pathlib import Path

import click

from edgecnn.cli.options import force_option, json_option
from edgecnn.cli.output import emit


@dataclass(frozen=True)
class Signed:
    """What was signed.

    Attributes:
        name: of the bundle.
        bundle: its digest.
        signature: the file that was written.
    """

    name: str
    bundle: str
    signature: Path


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    help="PEM file with a private key, on P-256, P-384 or P-521.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The signature's file. [default: BUNDLE.sig, beside it]")
@force_option
@json_option
def sign(bundle: Path, key: Path, out: Path | None, force: bool, as_json: bool) -> None:
    """Sign BUNDLE, so that `verify --key` and `serve --require-signature` know by the public key who made it.

    It is a signature of OpenSSF's model-signing, with a key pair; nobody is asked over a network. docs/signing.md makes
    the keys. The bundle itself is only read.
    """
    from edgecnn.archive.openssf import sign_bundle
    from edgecnn.bundle.finding import check_outside_bundles, signature_beside
    from edgecnn.bundle.store import open_bundle
    from edgecnn.files.file import new_file
    from edgecnn.files.folder import write_new_file

    opened = open_bundle(bundle)
    place = out or signature_beside(bundle)
    check_outside_bundles(place)
    with new_file(place, force=force) as new:
        write_new_file(new, (sign_bundle(opened, key=key),))
    found = Signed(opened.manifest.name, opened.digest, place)
    emit(found, f"{place} signs {found.name}, digest {found.bundle[:12]}…", as_json=as_json)
