"""Verifies a bundle on an engine of this machine, and writes a verification record."""

import contextlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.bundle.manifest import utc_now
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import Session, SessionOptions
from edgecnn.runtime.engines.registry import get_engine
from edgecnn.runtime.engines.saturation import without_saturation
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.rates import three_digits
from edgecnn.runtime.verification.comparing import ReferenceSession, compare_batch_mates, compare_with_reference
from edgecnn.runtime.verification.evaluation import EvaluationImages
from edgecnn.runtime.verification.record import VerificationRecord, default_path, read_record, write_record
from edgecnn.runtime.verification.replay import SelfTestResult, check_proof, data_failures, proof_failed, replay


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Attributes:
        bundle: the verified bundle.
        record: the measurements.
        failures: one line for each failure; empty if the proof holds.
        where: what ran the bundle, for messages.
        exact_sums: whether the weights would saturate here, and exact INT8 was used.
        record_warning: problem with the record's file, or None.
        record_error: the same, if it fails the verification although the proof holds: the record could not be written
            to the given path, or `strict` is on.
    """

    bundle: Bundle
    record: VerificationRecord
    failures: tuple[str, ...]
    where: str
    exact_sums: bool = False
    record_warning: str | None = None
    record_error: str | None = None

    def __repr__(self) -> str:
        result = f"does not hold: {self.failures[0]}" if self.failures else "holds"
        return f"<Verification of {self.bundle.path} on {self.where}: the proof {result}>"

    def _repr_html_(self) -> str:
        """Return the measurements and the failures as a table, for notebooks."""
        from edgecnn.html_table import table

        test, found = self.record.self_test, self.record.agreement
        error = "not finite" if test.max_error is None else three_digits(test.max_error)
        rows = [
            ("bundle", str(self.bundle.path)),
            ("session", f"{self.record.session.engine} {self.record.session.version}, {self.record.session.device}"),
            ("self-test", f"{test.images} images and {test.encoded} image files"),
            ("largest logit error", f"{error} (allowed {three_digits(test.tolerance)})"),
        ]
        if found is not None:
            name = self.bundle.manifest.scores.accuracy_name
            rows += [
                (f"{name} of the bundle", str(found.top1 or "unknown")),
                (f"{name} of the reference", str(found.reference_top1 or "unknown")),
                ("drop", str(found.drop or "unknown")),
                ("agreement", str(found.agreement)),
                ("answers that differ", f"{found.flipped} of {found.agreement.images}"),
            ]
        rows += [("failure", each) for each in self.failures]
        return table(f"Verification: the proof {'does not hold' if self.failures else 'holds'}", rows)

    def raise_for_failures(self) -> None:
        """Raise an error if the verification failed.

        Raises:
            ProofFailed: the answers differ from the reference's.
            EdgecnnError: the proof holds, but there is a `record_error`.
        """
        if self.failures:
            raise proof_failed(self.bundle, self.where, self.failures)
        if self.record_error is not None:
            raise EdgecnnError(self.record_error)


def verify(
    bundle: Bundle,
    *,
    engine: str = "auto",
    options: SessionOptions | None = None,
    images: EvaluationImages | None = None,
    reference: Path | ReferenceSession | None = None,
    simulation: Session | None = None,
    record: Path | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Verification:
    """Run a bundle's self-test, compare its answers on more images if given, and write a record.

    A failed proof raises no error here: see `Verification.raise_for_failures`. The bundle is not changed.

    Args:
        bundle: the bundle.
        engine: `auto`, `onnxruntime` or `openvino`.
        options: options of the session.
        images: N images, with or without targets, to compare on. Some of them run again in other batches and with
            other numbers of threads, which must not change the answers.
        reference: a session, or a file that `RecordedLogits.write` wrote.
        simulation: a session that simulates another processor. It replaces the engine, and no record is written. The
            caller closes it.
        record: path of the record; by default in `$XDG_STATE_HOME/edgecnn/verifications`.
        strict: make a warning an error.
        progress: called after each step.

    Raises:
        UsageError: only one of `images` and `reference` is given, the reference is another bundle's, the logits were
            recorded on other images, `record` is inside a bundle, or the engine or device name is unknown.
        EngineError: see `open_session`; or the engine failed.
        SourceError: an image cannot be decoded.
        EdgecnnError: the recorded logits cannot be read.
    """
    if (images is None) != (reference is None):
        raise UsageError("images and reference must be given together: add the missing one")
    options = options or SessionOptions()
    measure = partial(_measure, bundle, images=images, reference=reference, progress=progress)
    if simulation is not None:
        if record is not None:
            raise UsageError("--record cannot be used with --simulate, which only predicts: remove one of them")
        found, failures = measure(simulation, again=None)
        return Verification(bundle, found, failures, "a CPU whose INT8 sums saturate")
    if record is not None:
        check_outside_bundles(record)
    with contextlib.closing(open_session(bundle, engine=engine, options=options, strict=strict)) as session:
        found, failures = measure(session, again=options)
    problem, is_written = _keep(found, bundle, record)
    is_fatal = not failures and (strict or (record is not None and not is_written))
    return Verification(
        bundle=bundle,
        record=found,
        failures=failures,
        where=f"{found.session.engine} here",
        exact_sums=_needs_exact_sums(bundle, found.session.engine, options),
        record_warning=None if is_fatal else problem,
        record_error=problem if is_fatal else None,
    )


def prove(
    bundle: Bundle, *, engine: str = "auto", options: SessionOptions | None = None, strict: bool = False
) -> SelfTestResult:
    """Check that a bundle's self-test passes on an engine. No record is written.

    `install` takes `functools.partial(prove, engine=...)` to check a bundle.

    Raises:
        ProofFailed: the answers differ from the reference's.
        UsageError: the engine or device name is unknown.
        EngineError: see `open_session`; or the engine failed.
    """
    with contextlib.closing(open_session(bundle, engine=engine, options=options, strict=strict)) as session:
        return check_proof(bundle, session)[1]


def _measure(
    bundle: Bundle,
    session: Session,
    *,
    images: EvaluationImages | None,
    reference: Path | ReferenceSession | None,
    again: SessionOptions | None,
    progress: Progress,
) -> tuple[VerificationRecord, tuple[str, ...]]:
    """Return the measurements, and one line for each failure.

    `again` are the options for sessions with other batches and threads, before which `session` is closed. It is None
    for a simulation.
    """
    compared = mates = None
    self_test = replay(bundle.self_test(), session, bundle.manifest.preprocessing, bundle.manifest.scores)
    failures = self_test.failures
    if images is not None and reference is not None:
        compared = compare_with_reference(bundle, session, images, reference, progress=progress)
        failures += data_failures(compared.comparison, bundle)
        if again is not None:
            session.close()
            mates = compare_batch_mates(
                bundle, compared.images, compared.logits, session.info, again, progress=progress
            )
            failures += mates.failures()
    found = VerificationRecord(
        bundle=bundle.digest,
        name=bundle.manifest.name,
        measured=utc_now(),
        session=session.info,
        self_test=self_test,
        data=compared.images.reference() if compared else None,
        reference=compared.reference if compared else None,
        comparison=compared.comparison if compared else None,
        holds=not failures,
        agreement=compared.agreement if compared else None,
        batch_mates=mates,
    )
    return found, failures


def _needs_exact_sums(bundle: Bundle, engine: str, options: SessionOptions) -> bool:
    """Return whether the weights saturate on this engine without exact INT8."""
    quantization = bundle.manifest.quantization
    if quantization is None or not quantization.is_full_range:
        return False
    return without_saturation(get_engine(engine), options).exact_int8


def _keep(found: VerificationRecord, bundle: Bundle, named: Path | None) -> tuple[str | None, bool]:
    """Write the record. Return a problem with its file or None, and whether it was written."""
    try:
        place = named or default_path(bundle, found.session.engine)
        earlier = read_record(place)
        write_record(place, found)
    except EdgecnnError as error:
        return str(error), False
    if earlier is None or earlier.bundle == bundle.digest:
        return None, True
    problem = f"replaced the stale record of {earlier.measured} in {place}: it was for bundle {earlier.bundle[:12]}…"
    return problem, True
