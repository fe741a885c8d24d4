"""`edgecnn verify`: does this bundle answer here as the PyTorch original did?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.cli.options import json_option, session_options, strict_option
from edgecnn.cli.output import emit, number, percent, progress_bar, warn
from edgecnn.errors import EdgecnnError, ProofFailed, UsageError

if TYPE_CHECKING:
    from edgecnn.bundle.manifest import DataReference
    from edgecnn.bundle.proof import Comparison
    from edgecnn.bundle.store import Bundle
    from edgecnn.runtime.backend import Session
    from edgecnn.runtime.evidence import Evidence


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--data", metavar="SOURCE", help="Compare with the original on these images too; needs --reference.")
@click.option(
    "--reference",
    metavar="CHECKPOINT|FILE.npz",
    type=click.Path(path_type=Path),
    help="The PyTorch original, or its logits as `evaluate --save-logits` wrote them: those need no PyTorch.",
)
@click.option(
    "--evidence",
    type=click.Path(path_type=Path),
    help="Where the record goes. [default: in $XDG_STATE_HOME/edgecnn/evidence]",
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
    data: str | None,
    reference: Path | None,
    evidence: Path | None,
    simulate: str | None,
    strict: bool,
    as_json: bool,
    **session: Any,
) -> None:
    """Replay BUNDLE's probe on an engine of this machine, its image files included.

    With --data and --reference, compare with the PyTorch original on a whole test split. Exit 3 where the answers are
    not the original's. The bundle itself is only read.
    """
    if (data is None) != (reference is None):
        raise UsageError("--data and --reference go together: the images, and the checkpoint to compare with")
    from edgecnn.bundle.folder import check_outside_bundles
    from edgecnn.bundle.manifest import utc_now
    from edgecnn.bundle.store import open_bundle
    from edgecnn.runtime.evidence import Evidence
    from edgecnn.runtime.verification import data_failures, replay

    if evidence is not None:
        if simulate:
            raise UsageError("--evidence records what was measured, --simulate only predicts: leave one of them out")
        check_outside_bundles(evidence)
    opened = open_bundle(bundle)
    running = _open(opened, session, simulated=simulate is not None, strict=strict)
    try:
        probe = replay(opened.probe(), running, opened.manifest.preprocessing)
        compared = (
            None if data is None or reference is None else _compare(opened, running, data, reference, strict=strict)
        )
    finally:
        running.close()
    comparison = compared[1] if compared else None
    failures = probe.failures + (data_failures(comparison, opened) if comparison else ())
    found = Evidence(
        bundle=opened.digest,
        name=opened.manifest.name,
        measured=utc_now(),
        session=running.info,
        probe=probe,
        data=compared[0] if compared else None,
        reference=compared[2] if compared else None,
        comparison=comparison,
        holds=not failures,
    )
    text = _text(found, opened)
    if simulate:
        from edgecnn.pipeline.quantization.simulation import PAIRING

        text += f"\n  predicted, not run: saturating as in {PAIRING}"
    emit(found, text, as_json=as_json)
    if not simulate:
        # A proof that fails is the news; a record that cannot be written is told beside it.
        _record(evidence, found, opened, strict=(strict or evidence is not None) and not failures)
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        where = f"{running.info.engine} here" if not simulate else "a CPU whose INT8 sums saturate"
        raise ProofFailed(f"the proof of {bundle} does not hold on {where}: {failures[0]}{more}")


def _open(bundle: "Bundle", session: dict[str, Any], *, simulated: bool, strict: bool) -> "Session":
    """Load the graph into the engine that the session options name, or into the simulation."""
    from edgecnn.runtime.backend import SessionOptions
    from edgecnn.runtime.backends import open_session

    backend = session.pop("backend")
    options = SessionOptions(**session)
    if not simulated:
        return open_session(bundle, backend=backend, options=options, strict=strict)
    if (backend, options) != ("auto", SessionOptions()):
        raise UsageError("--simulate runs on no engine of this machine: leave out how one would be opened")
    if bundle.manifest.quantization is None:
        raise UsageError(f"{bundle.path} is FP32: --simulate predicts how INT8 sums saturate")
    from edgecnn.pipeline.quantization.simulation import simulate

    return simulate(bundle.model)


def _compare(
    bundle: "Bundle", session: "Session", data: str, reference: Path, *, strict: bool
) -> tuple["DataReference", "Comparison", str]:
    """Run a test split through the session and the PyTorch original."""
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.proving import evaluate
    from edgecnn.runtime.verification import compare

    sessions: dict[str, Session] = {"bundle": session}
    recorded = None
    if reference.suffix == ".npz":
        from edgecnn.runtime.recorded import read_recorded

        recorded = read_recorded(reference)
        identity, digest = recorded.original, recorded.checkpoint
    else:
        from edgecnn.pipeline.reference import Reference
        from edgecnn.pipeline.training.checkpoint import read_checkpoint

        original = read_checkpoint(reference).original
        identity, digest = original.identity, original.digest
        sessions["original"] = Reference(original)
    if identity != bundle.manifest.original:
        raise UsageError(f"{reference} is not the original of {bundle.path}: name the one that it came from")
    source = open_source(data)
    if source.labels != bundle.manifest.labels:
        raise UsageError(f"{data} has other classes than {bundle.path}: name the data that it was trained on")
    split = source.split("test")
    from edgecnn.pipeline.quantization.recipe import overlap_warning

    warning = overlap_warning(bundle, split)
    if warning:
        warn(warning, strict=strict)
    if recorded is not None and recorded.images_digest != split.digest:
        raise UsageError(f"{reference} was recorded on other images than the test split of {data}")
    with progress_bar() as progress:
        evaluation = evaluate(
            sessions,
            split,
            bundle.manifest.preprocessing,
            classes=len(bundle.manifest.labels),
            progress=progress,
        )
    expected = evaluation.logits["original"] if recorded is None else recorded.logits
    return evaluation.data, compare(expected, evaluation.logits["bundle"], evaluation.targets), digest


def _record(named: Path | None, found: "Evidence", bundle: "Bundle", *, strict: bool) -> None:
    """Write the record; where nobody named its place, a device without a writable one is still verified."""
    from edgecnn.runtime.evidence import default_path, read_evidence, write_evidence

    try:
        place = named or default_path(bundle, found.session.engine)
        earlier = read_evidence(place)
        write_evidence(place, found)
    except EdgecnnError as error:
        warn(str(error), strict=strict)
        return
    if earlier is not None and earlier.stale_for(bundle):
        warn(
            f"the record of {earlier.measured} in {place} was stale: it was about {earlier.bundle[:12]}…; replaced",
            strict=strict,
        )


def _text(found: "Evidence", bundle: "Bundle") -> str:
    session, probe = found.session, found.probe
    lines = [
        f"{found.name} ({bundle.manifest.precision}) on {session.engine} {session.version}, {session.device}: "
        f"float layers in {session.precision}, {session.threads} threads",
        f"  probe: {probe.images} images and {probe.encoded} image files, "
        f"largest logit error {number(probe.max_error)} (allowed {probe.tolerance:.3g}); "
        f"{probe.decided} answers are decided by more than that",
    ]
    if found.comparison and found.data:
        compared = found.comparison
        lines.append(
            f"  {found.data.source} {found.data.split}: top-1 {percent(compared.top1)} "
            f"(original {percent(compared.reference_top1)}), agreement {percent(compared.agreement)} on "
            f"{compared.images} images, logit error {number(compared.max_error)} at most, "
            f"{number(compared.rms_error)} RMS"
        )
    lines.append("  the proof holds" if found.holds else "  the proof does NOT hold")
    return "\n".join(lines)
