"""`edgecnn sign`: say who made a bundle, in a file beside it."""

from dataclasses import dataclass
from pathlib import Path

import click

from edgecnn.cli.options import force_option, json_option
from edgecnn.cli.output import emit
from edgecnn.errors import OutputExists, UsageError


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
    from edgecnn.bundle.finding import signature_beside
    from edgecnn.bundle.folder import check_outside_bundles, write_file
    from edgecnn.bundle.store import open_bundle
    from edgecnn.signing.openssf import sign_bundle

    opened = open_bundle(bundle)
    place = out or signature_beside(bundle)
    check_outside_bundles(place)
    _check_free(place, force=force)
    write_file(place, sign_bundle(opened, key=key))
    found = Signed(opened.manifest.name, opened.digest, place)
    emit(found, f"{place} signs {found.name}, digest {found.bundle[:12]}…", as_json=as_json)


def _check_free(place: Path, *, force: bool) -> None:
    if place.is_dir():
        raise UsageError(f"{place} is a folder: --out names the signature's file")
    if not force and (place.exists() or place.is_symlink()):
        raise OutputExists(f"{place} exists already: choose another file with --out, or replace it with --force")
