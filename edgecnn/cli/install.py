"""`edgecnn install` and `edgecnn rollback`: versions of a bundle on this device."""

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
@click.option("--to", "folder", metavar="DIR", required=True, type=PATH, help="Where versions are.")
@click.option(
    "--keep",
    type=POSITIVE,
    default=KEEP,
    show_default=True,
    help="How many versions stay; the current one and the one before it always do.",
)
@public_key_option
@click.option("--signature", type=PATH, help="The signature's file. [default: NAME.sig beside it, if any]")
@click.option(
    "--verify/--no-verify", default=True, help="Replay the self-test on this machine first.  [default: verify]"
)
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
    """Copy BUNDLE to DIR/versions/N and, when it has proven itself here, let DIR/current lead to it.

    `edgecnn serve DIR` follows without a restart, and `edgecnn rollback DIR` goes back. The switch is one step:
    whatever happens meanwhile, DIR/current leads to a whole bundle. The bundle that is current already is not copied.
    With --key nothing is changed unless the signature beside BUNDLE or ARCHIVE holds.
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
    """Let DIR/current lead to the version that was current when the present one was installed.

    Given again it goes further back, as long as there are versions. One that died half-way is finished, not done twice.
    """
    from edgecnn.archive.installing import rollback as go_back

    done = go_back(folder)
    text = f"rolled back from version {done.undone}: {done.current} leads to version {done.version}, {done.name}"
    if done.previous is not None:
        text += f"\n  a further rollback goes to version {done.previous}"
    emit(vars(done), text, as_json=as_json)


def _text(installed: "Installed", *, signed_by: Path | None) -> str:
    name, version, self_test = installed.name, installed.version, installed.self_test
    if not installed.changed:
        lines = [f"{name} is current already, as version {version} in {installed.current.parent}: it was not copied"]
    else:
        lines = [f"installed {name}: {installed.current} leads to version {version}"]
    if self_test is not None:
        lines.append(
            f"  self-test: {self_test.images} images and {self_test.encoded} image files, answered as the reference did"
        )
    if installed.signed:
        lines.append("  its signature stands beside it")
    if installed.previous is not None:
        lines.append(f"  a rollback goes to version {installed.previous}")
    if installed.removed:
        lines.append(f"  removed: {', '.join(map(str, installed.removed))}")
    if signed_by is not None:
        lines.append(f"  the signature holds: it is the one of {signed_by}'s owner")
    return "\n".join(lines)
