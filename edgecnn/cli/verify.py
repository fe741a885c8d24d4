"""`edgecnn verify`: compare a bundle with the PyTorch reference on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.checks import checked_text
from edgecnn.cli.completion import complete_source
from edgecnn.cli.onnx_options import onnx_options
from edgecnn.cli.options import PATH, json_option, public_key_option, session_options, strict_option
from edgecnn.cli.output import columns, emit, number, points, progress_bar, warn, worst_class
from edgecnn.cli.weights import architecture_option, take_weights_options, weights_options
from edgecnn.errors import UsageError

if TYPE_CHECKING:
    from edgecnn.bundle.manifest import Scores
    from edgecnn.bundle.proof import Comparison
    from edgecnn.bundle.store import Bundle
    from edgecnn.runtime.verification.agreement import Agreement, Flip
    from edgecnn.runtime.verification.batch_mates import BatchMates
    from edgecnn.runtime.verification.verify import Verification

_MOST_FLIPS = 10


@click.command()
@click.argument("bundle", type=PATH)
@public_key_option
@click.option("--signature", type=PATH, help="Signature file. [default: BUNDLE.sig, next to the bundle]")
@click.option(
    "--data",
    metavar="SOURCE",
    shell_complete=complete_source,
    help="Also compare on these images. Requires --reference.",
)
@click.option(
    "--reference",
    metavar="CHECKPOINT|FILE|FACTORY",
    type=PATH,
    help="The reference: a checkpoint, a weights file, a factory such as net.py:make, or an ONNX file; or its logits "
    "from `evaluate --save-logits` (.npz), which need no PyTorch.",
)
@click.option(
    "--record", type=PATH, help="Verification record to write. [default: in $XDG_STATE_HOME/edgecnn/verifications]"
)
@click.option(
    "--simulate",
    type=click.Choice(["avx2"]),
    help="Simulate an x86 CPU without VNNI, on which INT8 sums saturate. No record is written.",
)
@architecture_option("The architecture of a weights file, or the factory of a checkpoint. [default: BUNDLE's]")
@weights_options("--weights-key", prefix="Weights", has_bundle=True)
@onnx_options(prefix="ONNX")
@session_options
@strict_option
@json_option
def verify(
    bundle: Path,
    key: Path | None,
    signature: Path | None,
    simulate: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run BUNDLE's self-test, including its image files, on an engine of this machine.

    With --data and --reference, also compare with the reference on a whole test split. The report contains
    intervals and every image with a different label. Some images run again with other batch sizes and threads, which
    must not change the logits. Weights and ONNX files of other tools need the options of their export or import. With
    --key, the signature of BUNDLE is verified first. The exit code is 3 if the answers differ from the reference's or
    the signature is invalid. The bundle is not changed.
    """
    if signature is not None and key is None:
        raise UsageError("--signature requires --key, which is missing: add the public key of the signer")
    opened, weights = _open(bundle, key, signature), take_weights_options(options)
    from edgecnn.stages.verifying import verify as run

    with progress_bar() as progress:
        found = run(opened, simulate=simulate is not None, progress=progress, **options, **weights)
    emit(found.record, _text(found, signed_by=key, simulate=simulate is not None), as_json=as_json)
    if found.record_warning is not None:
        warn(found.record_warning)
    found.raise_for_failures()


def _open(bundle: Path, key: Path | None, signature: Path | None) -> "Bundle":
    if key is None:
        from edgecnn.bundle.store import open_bundle

        return open_bundle(bundle)
    from edgecnn.archive.openssf import open_signed

    return open_signed(bundle, key=key, signature=signature)


def _text(verification: "Verification", *, signed_by: Path | None, simulate: bool) -> str:
    """Return a verification as text."""
    found = verification.record
    session, self_test, precision = found.session, found.self_test, verification.bundle.manifest.precision
    lines = [
        f"{found.name} ({precision}) on {session.engine} {session.version}, {session.device}: float layers in "
        f"{session.precision}, {session.threads} threads",
        f"  self-test: {self_test.images} images and {self_test.encoded} image files, "
        f"largest logit error {number(self_test.max_error)} (allowed {number(self_test.tolerance)}); "
        f"{self_test.decided} answers have a larger margin",
    ]
    if found.data and found.comparison and found.agreement:
        lines.append(f"  {found.data.source} {found.data.split}, {found.data.images} images:")
        compared = _agreement(found.agreement, found.comparison, verification.bundle.manifest.scores)
        lines += [f"    {line}" for line in compared]
    if found.batch_mates:
        lines.append(f"  {_batch_mates(found.batch_mates)}")
    proof = verification.bundle.proof()
    lines += [f"  {line}" for line in checked_text(proof.preprocessing, proof.checked_images)]
    lines.append("  the proof holds" if found.holds else "  the proof does NOT hold")
    if signed_by is not None:
        lines.append(f"  the signature is valid for the key {signed_by}")
    if simulate:
        from edgecnn.pipeline.quantization.simulation import PAIRING

        lines.append(f"  simulated, not run: saturation as in {PAIRING}")
    elif verification.exact_sums:
        lines.append(f"  full-range weights would saturate on this machine: {session.engine} uses exact INT8")
    return "\n".join(lines)


def _agreement(found: "Agreement", comparison: "Comparison", scores: "Scores") -> list[str]:
    lines = []
    if found.top1 and found.reference_top1 and found.drop and found.mcnemar_p is not None:
        lines += [
            f"{scores.accuracy_name} {found.top1}, reference {found.reference_top1}",
            f"drop {points(found.drop)}: {found.drop.lost} right answers lost, {found.drop.won} won; "
            f"McNemar's exact test p {_probability(found.mcnemar_p)}",
        ]
    lines.append(f"agreement {found.agreement}")
    if found.per_class is not None:
        lines.append(worst_class(found.per_class, scores, has_targets=found.top1 is not None))
    lines.append(_error(found, comparison))
    if found.flips:
        differ = "1 answer differs" if found.flipped == 1 else f"{found.flipped} answers differ"
        lines.append(f"{differ}; with margins, the largest margin of the reference first:")
        lines += [
            f"  {line}" for line in columns([_flip(flip) for flip in found.flips[:_MOST_FLIPS]], margin=6).splitlines()
        ]
    if found.flipped > _MOST_FLIPS:
        lines.append(f"  and {found.flipped - _MOST_FLIPS} more (--json lists them)")
    return lines


def _error(found: "Agreement", comparison: "Comparison") -> str:
    if found.kl_nats is None:
        return "the logits are not finite"
    return (
        f"logit error {number(comparison.max_error)} at most, {number(comparison.rms_error)} RMS, "
        f"logits spread by {number(comparison.spread)}; KL divergence {number(found.kl_nats)} nats"
    )


def _flip(flip: "Flip") -> tuple[str, ...]:
    return (
        flip.image,
        f"{flip.answer}, not finite" if flip.margin is None else f"{flip.answer} by {number(flip.margin)}",
        f"reference {flip.reference} by {number(flip.reference_margin)}",
        "" if flip.target is None else f"right is {flip.target}",
    )


def _batch_mates(found: "BatchMates") -> str:
    batches = _listed(sorted({run.batch for run in found.runs}))
    threads = _listed(sorted({run.threads for run in found.runs}))
    moved = found.worst.max_difference
    worst = "a logit is not finite" if moved is None else f"a logit moves by {number(moved)} at most"
    return (
        f"batch mates: {found.images} images shuffled, at batch {batches}, with {threads} threads: "
        f"{worst} (allowed {number(found.limit)})"
    )


def _probability(p: float) -> str:
    return f"= {p:.3g}" if p else "< 1e-300"  # the value underflows to 0, but is not 0


def _listed(numbers: list[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
