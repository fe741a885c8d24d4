"""`edgecnn verify`: does this bundle answer here as the PyTorch reference did?"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import json_option, public_key_option, session_options, strict_option
from edgecnn.cli.output import emit, progress_bar, warn
from edgecnn.cli.verify_text import verification_text
from edgecnn.errors import UsageError

if TYPE_CHECKING:
    from edgecnn.bundle.store import Bundle
    from edgecnn.runtime.verification.verify import Verification


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@public_key_option
@click.option(
    "--signature", type=click.Path(path_type=Path), help="The signature's file. [default: BUNDLE.sig, beside it]"
)
@click.option("--data", metavar="SOURCE", help="Compare with the reference on these images too; needs --reference.")
@click.option(
    "--reference",
    metavar="CHECKPOINT|FILE.npz",
    type=click.Path(path_type=Path),
    help="The PyTorch reference, or its logits as `evaluate --save-logits` wrote them: those need no PyTorch.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    help="Where the record goes. [default: in $XDG_STATE_HOME/edgecnn/verifications]",
)
@click.option(
    "--simulate",
    type=click.Choice(["avx2"]),
    help="Predict how an x86 CPU without VNNI would answer, whose INT8 sums saturate; no record is written.",
)
@session_options
@strict_option
@json_option
def verify(
    bundle: Path,
    key: Path | None,
    signature: Path | None,
    data: str | None,
    reference: Path | None,
    record: Path | None,
    simulate: str | None,
    strict: bool,
    as_json: bool,
    **session: Any,
) -> None:
    """Replay BUNDLE's self-test on an engine of this machine, its image files included.

    With --data and --reference, compare with the PyTorch reference on a whole test split, with intervals and every
    image that is answered differently; some of it runs again in other batches and with other threads, which must change
    nothing. With --key, the signature of BUNDLE is verified first. Exit 3 if the answers are not the reference's, or
    the signature is not valid. The bundle itself is only read.
    """
    if signature is not None and key is None:
        raise UsageError("--signature needs --key: the public key that it is verified with")
    from edgecnn.runtime.engines.backend import SessionOptions

    opened = _open(bundle, key, signature)
    with progress_bar() as progress:
        run = _verifying(data, reference, simulate)
        found = run(
            opened,
            backend=session.pop("backend"),
            options=SessionOptions(**session),
            record=record,
            strict=strict,
            progress=progress,
        )
    emit(found.record, verification_text(found, signed_by=key, simulate=simulate is not None), as_json=as_json)
    if found.record_warning is not None:
        warn(found.record_warning)
    found.raise_for_failures()


def _open(bundle: Path, key: Path | None, signature: Path | None) -> "Bundle":
    if key is None:
        from edgecnn.bundle.store import open_bundle

        return open_bundle(bundle)
    from edgecnn.archive.openssf import open_signed

    return open_signed(bundle, key=key, signature=signature)


def _verifying(data: str | None, reference: Path | None, simulate: str | None) -> "Callable[..., Verification]":
    """Return the pipeline's function if one of its options was given, else the runtime's."""
    if data is None and reference is None and simulate is None:
        from edgecnn.runtime.verification.verify import verify

        return verify
    from edgecnn.pipeline.evaluation.verifying import verify as verify_on_data

    return partial(verify_on_data, data=data, reference=reference, simulate=simulate is not None)
