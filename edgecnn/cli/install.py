"""`edgecnn install` and `edgecnn rollback`: manage versions of a bundle on this device."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.archive.layout import KEEP
from edgecnn.cli.options import (
    PATH,
    POSITIVE,
    json_option,
    public_key_option,
    session_arguments,
    session_options,
    strict_option,
)
from edgecnn.cli.output import emit

if TYPE_CHECKING:
    from edgecnn.archive.installing import Installed


@click.command()
@click.argument("source", metavar="BUNDLE|ARCHIVE", type=PATH)
@click.option(
    "--to", "folder", metavar="DIR", required=True, type=PATH, help="The site: the folder of installed versions."
)
@click.option(
    "--keep",
    type=POSITIVE,
    default=KEEP,
    show_default=True,
    help="Versions to keep. The current one and the one before it are always kept.",
)
@public_key_option
@click.option("--signature", type=PATH, help="Signature file. [default: NAME.sig next to the source, if it exists]")
@click.option("--verify/--no-verify", default=True, help="Run the self-test on this machine first. [default: verify]")
@session_options
@strict_option
@json_option
def install(
    source: Path,
    folder: Path,
    keep: int,
    key: Path | None,
    signature: Path | None,
    verify: bool,
    as_json: bool,
    **session: Any,
) -> None:
    """Copy BUNDLE to DIR/versions/N, verify it on this machine, and point DIR/current to it.

    `edgecnn serve DIR` loads it without a restart. `edgecnn rollback DIR` returns to the previous version. The switch
    is atomic: DIR/current always points to a complete bundle. A bundle that is already current is not copied. With
    --key, nothing is changed unless the signature of BUNDLE or ARCHIVE is valid.
    """
    from edgecnn.archive.installing import install as run

    prove, check = None, None
    if verify:
        from edgecnn.runtime.verification.verify import prove as replay

        prove = partial(replay, **session_arguments(**session))
    if key is not None:
        from edgecnn.archive.openssf import signature_check

        check = signature_check(key)
    installed = run(source, folder, signature=signature, keep=keep, check=check, prove=prove)
    emit(vars(installed), _text(installed, signed_by=key), as_json=as_json)


@click.command()
@click.argument("folder", metavar="DIR", type=PATH)
@json_option
def rollback(folder: Path, as_json: bool) -> None:
    """Point DIR/current to the version that was current when the present one was installed.

    Repeat the command to go further back. After a crash, the same command finishes the interrupted rollback.
    """
    from edgecnn.archive.installing import rollback as go_back

    done = go_back(folder)
    text = f"rolled back from version {done.undone}: {done.current} points to version {done.version}, {done.name}"
    if done.previous is not None:
        text += f"\n  another rollback goes to version {done.previous}"
    emit(vars(done), text, as_json=as_json)


def _text(installed: "Installed", *, signed_by: Path | None) -> str:
    name, version, self_test = installed.name, installed.version, installed.self_test
    if not installed.changed:
        lines = [f"{name} is already current as version {version} in {installed.current.parent}: not copied"]
    else:
        lines = [f"installed {name}: {installed.current} points to version {version}"]
    if self_test is not None:
        lines.append(
            f"  self-test passed: {self_test.images} images and {self_test.encoded} image files match the reference"
        )
    if installed.signed:
        lines.append("  the signature is stored next to it")
    if installed.previous is not None:
        lines.append(f"  a rollback goes to version {installed.previous}")
    if installed.removed:
        lines.append(f"  removed: {', '.join(map(str, installed.removed))}")
    if signed_by is not None:
        lines.append(f"  the signature is valid for the key {signed_by}")
    return "\n".join(lines)
