"""What `verify` has found, as lines of text."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.cli.output import columns, number, points, rate

if TYPE_CHECKING:
    from edgecnn.bundle.proof import Comparison
    from edgecnn.runtime.verification.agreement import Agreement, Flip
    from edgecnn.runtime.verification.batch_mates import BatchMates
    from edgecnn.runtime.verification.verify import Verification

_MOST_FLIPS = 10


def verification_text(verification: "Verification", *, signed_by: Path | None, simulate: bool) -> str:
    """Return a verification in a few lines.

    Args:
        verification: the result.
        signed_by: the public key that the bundle's signature was verified with, if any.
        simulate: whether the answers were predicted.
    """
    found = verification.record
    session, self_test, precision = found.session, found.self_test, verification.bundle.manifest.precision
    lines = [
        f"{found.name} ({precision}) on {session.engine} {session.version}, {session.device}: float layers in "
        f"{session.precision}, {session.threads} threads",
        f"  self-test: {self_test.images} images and {self_test.encoded} image files, "
        f"largest logit error {number(self_test.max_error)} (allowed {self_test.tolerance:.3g}); "
        f"{self_test.decided} answers are decided by more than that",
    ]
    if found.data and found.comparison and found.agreement:
        lines.append(f"  {found.data.source} {found.data.split}, {found.data.images} images:")
        lines += [f"    {line}" for line in _agreement(found.agreement, found.comparison)]
    if found.batch_mates:
        lines.append(f"  {_batch_mates(found.batch_mates)}")
    lines.append("  the proof holds" if found.holds else "  the proof does NOT hold")
    if signed_by is not None:
        lines.append(f"  the signature holds: it is the one of {signed_by}'s owner")
    if simulate:
        from edgecnn.pipeline.quantization.simulation import PAIRING

        lines.append(f"  predicted, not run: saturating as in {PAIRING}")
    elif verification.exact_sums:
        lines.append(f"  full-range weights would saturate here: {session.engine} was told to sum exactly")
    return "\n".join(lines)


def _agreement(found: "Agreement", comparison: "Comparison") -> list[str]:
    lines = []
    if found.top1 and found.reference_top1 and found.drop and found.mcnemar_p is not None:
        lines += [
            f"top-1 {rate(found.top1)}, reference {rate(found.reference_top1)}",
            f"drop {points(found.drop)}: {found.drop.lost} right answers lost, {found.drop.won} won; "
            f"McNemar's exact test p {_probability(found.mcnemar_p)}",
        ]
    lines += [f"agreement {rate(found.agreement)}", _error(found, comparison)]
    if found.flips:
        differ = "1 answer differs" if found.flipped == 1 else f"{found.flipped} answers differ"
        lines.append(f"{differ}; each with its margin, those that the reference is surest of first:")
        lines += [f"  {line}" for line in columns([_flip(flip) for flip in found.flips[:_MOST_FLIPS]]).splitlines()]
    if found.flipped > _MOST_FLIPS:
        lines.append(f"  and {found.flipped - _MOST_FLIPS} more (--json lists them)")
    return lines


def _error(found: "Agreement", comparison: "Comparison") -> str:
    if found.kl_nats is None:
        return "the logits are not finite"
    return (
        f"logit error {number(comparison.max_error)} at most, {number(comparison.rms_error)} RMS, "
        f"logits spread by {number(comparison.spread)}; KL divergence {found.kl_nats:.3g} nats"
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
        f"{worst} (allowed {found.limit:.3g})"
    )


def _probability(p: float) -> str:
    return f"= {p:.3g}" if p else "< 1e-300"  # smaller than every float, and yet not impossible


def _listed(numbers: list[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
