"""`edgecnn pack` and `edgecnn unpack`: convert a bundle to an archive and back."""

from pathlib import Path

import click

from edgecnn.cli.options import PATH, force_option, json_option, out_option
from edgecnn.cli.output import emit
from edgecnn.cli.subjects import possible_bundle


@click.command()
@click.argument("bundle", type=PATH, callback=possible_bundle)
@out_option("The archive, such as NAME.tar.")
@force_option
@json_option
def pack(bundle: Path, out: Path, force: bool, as_json: bool) -> None:
    """Pack BUNDLE into an archive: an uncompressed, reproducible tar file."""
    from edgecnn.archive.packing import pack as write

    packed = write(bundle, out, force=force)
    result = {
        "archive": str(packed.archive),
        "size_bytes": packed.size_bytes,
        "sha256": packed.sha256,
        "name": packed.bundle.manifest.name,
        "bundle": packed.bundle.digest,
    }
    text = f"packed {packed.bundle.manifest.name} into {out}: {packed.size_bytes / 1024:,.0f} KiB"
    emit(result, f"{text}\n  sha256 {packed.sha256}", as_json=as_json)


@click.command()
@click.argument("archive", type=PATH)
@out_option("The bundle's new folder.")
@force_option
@json_option
def unpack(archive: Path, out: Path, force: bool, as_json: bool) -> None:
    """Extract the bundle in ARCHIVE to a folder, atomically.

    Only archives written by `pack` are accepted. Links, paths outside the bundle, and additional or missing files are
    rejected.
    """
    from edgecnn.archive.unpacking import unpack as write

    bundle = write(archive, out, force=force)
    result = {"path": str(bundle.path), "name": bundle.manifest.name, "bundle": bundle.digest}
    emit(result, f"unpacked {bundle.manifest.name} into {out}; all digests match", as_json=as_json)
