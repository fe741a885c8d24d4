"""`edgecnn verify`: does this bundle answer here as the PyTorch reference did?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import json_option, public_key_option, session_options, strict_option
from edgecnn.cli.output import emit, warn
from edgecnn.cli.verify_text import verification_text
from edgecnn.errors import EdgecnnError, ProofFailed, UsageError

if TYPE_CHECKING:
    from edgecnn.bundle.store import Bundle
    from edgecnn.runtime.engines.backend import Session, SessionOptions
    from edgecnn.runtime.verification.record import VerificationRecord


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

    With --data and --reference, compare with the PyTorch reference on a whole test split, with intervals and every image
    that is answered differently; some of it runs again in other batches and with other threads, which must change
    nothing. With --key, it is looked first who has signed BUNDLE. Exit 3 where the answers are not the reference's, or
    the signature does not hold. The bundle itself is only read.
    """
    if (data is None) != (reference is None):
        raise UsageError("--data and --reference go together: the images, and the checkpoint to compare with")
    if signature is not None and key is None:
        raise UsageError("--signature needs --key: the public key that it is verified with")
    from edgecnn.bundle.finding import check_outside_bundles
    from edgecnn.bundle.store import open_bundle
    from edgecnn.runtime.engines.backend import SessionOptions

    if record is not None:
        if simulate:
            raise UsageError("--record records what was measured, --simulate only predicts: leave one of them out")
        check_outside_bundles(record)
    opened = open_bundle(bundle, digest=None if key is None else _signed(bundle, key, signature))
    backend, options = session.pop("backend"), SessionOptions(**session)
    running = _open(opened, backend, options, simulated=simulate is not None, strict=strict)
    found, failures = _measure(opened, running, options, data=data, reference=reference, strict=strict)
    text = verification_text(found, opened)
    if key is not None:
        text += f"\n  the signature holds: it is the one of {key}'s owner"
    if simulate:
        from edgecnn.pipeline.quantization.simulation import PAIRING

        text += f"\n  predicted, not run: saturating as in {PAIRING}"
    elif _is_cured(opened, found.session.engine, options):
        text += f"\n  full-range weights would saturate here: {found.session.engine} was told to sum exactly"
    emit(found, text, as_json=as_json)
    if not simulate:
        # A proof that fails is the news; a record that cannot be written is told beside it.
        _record(record, found, opened, strict=(strict or record is not None) and not failures)
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        where = f"{found.session.engine} here" if not simulate else "a CPU whose INT8 sums saturate"
        raise ProofFailed(f"the proof of {bundle} does not hold on {where}: {failures[0]}{more}")


def _signed(bundle: Path, key: Path, signature: Path | None) -> str:
    """Return the digest of the bundle that the key's owner has signed."""
    from edgecnn.archive.openssf import verify_signature

    return verify_signature(bundle, key=key, signature=signature)


def _open(bundle: "Bundle", backend: str, options: "SessionOptions", *, simulated: bool, strict: bool) -> "Session":
    """Load the graph into the engine that the session options name, or into the simulation."""
    from edgecnn.runtime.engines.backend import SessionOptions
    from edgecnn.runtime.opening import open_session

    if not simulated:
        return open_session(bundle, backend=backend, options=options, strict=strict)
    if (backend, options) != ("auto", SessionOptions()):
        raise UsageError("--simulate runs on no engine of this machine: leave out how one would be opened")
    if bundle.manifest.quantization is None:
        raise UsageError(f"{bundle.path} is FP32: --simulate predicts how INT8 sums saturate")
    from edgecnn.pipeline.quantization.simulation import simulate

    return simulate(bundle.model)


def _is_cured(bundle: "Bundle", engine: str, options: "SessionOptions") -> bool:
    """Whether the answers are the reference's only because the engine was told to sum exactly."""
    from edgecnn.bundle.limits import PORTABLE_RANGE
    from edgecnn.runtime.engines.backends import get_backend
    from edgecnn.runtime.engines.saturation import without_saturation

    quantization = bundle.manifest.quantization
    if quantization is None or quantization.weight_limit <= PORTABLE_RANGE:
        return False
    return without_saturation(get_backend(engine), options).exact_int8


def _measure(
    bundle: "Bundle",
    running: "Session",
    options: "SessionOptions",
    *,
    data: str | None,
    reference: Path | None,
    strict: bool,
) -> tuple["VerificationRecord", tuple[str, ...]]:
    """Replay the self-test, and compare on data where some is named; returns what was found, and what does not hold.

    The session is closed afterwards.
    """
    from edgecnn.bundle.manifest import utc_now
    from edgecnn.cli.comparing import compare_batch_mates, compare_with_reference
    from edgecnn.runtime.verification.record import VerificationRecord
    from edgecnn.runtime.verification.replay import data_failures, replay

    compared = mates = None
    try:
        self_test = replay(bundle.self_test(), running, bundle.manifest.preprocessing)
        if data is not None and reference is not None:
            compared = compare_with_reference(bundle, running, data, reference, strict=strict)
    finally:
        running.close()
    failures = self_test.failures
    if compared is not None:
        failures += data_failures(compared.comparison, bundle)
        mates = compare_batch_mates(bundle, compared, running.info, options)
        failures += mates.failures() if mates else ()
    found = VerificationRecord(
        bundle=bundle.digest,
        name=bundle.manifest.name,
        measured=utc_now(),
        session=running.info,
        self_test=self_test,
        data=compared.evaluation.data if compared else None,
        reference=compared.reference if compared else None,
        comparison=compared.comparison if compared else None,
        holds=not failures,
        agreement=compared.agreement if compared else None,
        batch_mates=mates,
    )
    return found, failures


def _record(named: Path | None, found: "VerificationRecord", bundle: "Bundle", *, strict: bool) -> None:
    """Write the record; where nobody named its place, a device without a writable one is still verified."""
    from edgecnn.runtime.verification.record import default_path, read_record, write_record

    try:
        place = named or default_path(bundle, found.session.engine)
        earlier = read_record(place)
        write_record(place, found)
    except EdgecnnError as error:
        warn(str(error), strict=strict)
        return
    if earlier is not None and earlier.stale_for(bundle):
        warn(
            f"the record of {earlier.measured} in {place} was stale: it was about {earlier.bundle[:12]}…; replaced",
            strict=strict,
        )
