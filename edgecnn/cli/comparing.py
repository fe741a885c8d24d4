"""What `verify --data` does: a test split through a bundle and its reference, then some of it again with other mates."""

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.cli.output import progress_bar, warn
from edgecnn.errors import SaturationWarning, UsageError

if TYPE_CHECKING:
    from edgecnn.bundle.proof import Comparison
    from edgecnn.bundle.store import Bundle
    from edgecnn.pipeline.data.source import Split
    from edgecnn.pipeline.proving import Evaluation
    from edgecnn.runtime.engines.backend import Session, SessionInfo, SessionOptions
    from edgecnn.runtime.verification.agreement import Agreement
    from edgecnn.runtime.verification.batch_mates import BatchMates


@dataclass(frozen=True)
class Compared:
    """A bundle beside its reference.

    Attributes:
        split: the images.
        evaluation: which they are, and what `bundle` has answered.
        reference: digest of the reference's weights.
        comparison: what a proof would hold.
        agreement: the statistics.
    """

    split: "Split"
    evaluation: "Evaluation"
    reference: str
    comparison: "Comparison"
    agreement: "Agreement"


def compare_with_reference(
    bundle: "Bundle", session: "Session", data: str, reference: Path, *, strict: bool
) -> Compared:
    """Run a test split through the session and the PyTorch reference; a file of its logits needs no PyTorch."""
    from edgecnn.pipeline.proving import evaluate
    from edgecnn.runtime.verification.agreement import agree
    from edgecnn.runtime.verification.replay import compare

    sessions: dict[str, Session] = {"bundle": session}
    recorded = None
    if reference.suffix == ".npz":
        from edgecnn.runtime.verification.recorded import read_recorded

        recorded = read_recorded(reference)
        identity, digest = recorded.reference, recorded.checkpoint
    else:
        from edgecnn.pipeline.torch_session import TorchSession
        from edgecnn.pipeline.training.checkpoint import read_checkpoint

        network = read_checkpoint(reference).reference
        identity, digest = network.identity, network.digest
        sessions["reference"] = TorchSession(network)
    if identity != bundle.manifest.reference.digest:
        raise UsageError(f"{reference} is not the reference of {bundle.path}: name the one that it came from")
    split = _open_split(bundle, data, strict=strict)
    if recorded is not None and recorded.images_digest != split.digest:
        raise UsageError(f"{reference} was recorded on other images than the test split of {data}")
    labels = bundle.manifest.labels
    with progress_bar() as progress:
        found = evaluate(sessions, split, bundle.manifest.preprocessing, classes=len(labels), progress=progress)
    expected, logits = found.logits["reference"] if recorded is None else recorded.logits, found.logits["bundle"]
    return Compared(
        split=split,
        evaluation=found,
        reference=digest,
        comparison=compare(expected, logits, found.targets),
        agreement=agree(expected, logits, targets=found.targets, labels=labels, name_of=split.name_of),
    )


def compare_batch_mates(
    bundle: "Bundle", compared: Compared, info: "SessionInfo", options: "SessionOptions"
) -> "BatchMates | None":
    """Run some of the images again on the engine and device of `info`, in other batches and with other threads.

    None where `info` is no engine's: a simulation has no threads, and runs in batches of its own.
    """
    from edgecnn.runtime.engines.choices import BACKENDS
    from edgecnn.runtime.opening import open_session
    from edgecnn.runtime.verification.batch_mates import check_batch_mates, choose_images, thread_counts

    if info.engine not in BACKENDS:
        return None

    def open_with(threads: int) -> "Session":
        again = dataclasses.replace(options, device=info.device, threads=threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SaturationWarning)  # the first session has told it
            return open_session(bundle, backend=info.engine, options=again)

    chosen = choose_images(len(compared.split))
    with progress_bar() as progress:
        return check_batch_mates(
            compared.split.pixels(chosen, bundle.manifest.preprocessing),
            compared.evaluation.logits["bundle"][chosen],
            open_with=open_with,
            threads=thread_counts(info),
            tolerance=bundle.self_test().tolerance,
            progress=progress,
        )


def _open_split(bundle: "Bundle", data: str, *, strict: bool) -> "Split":
    """Open the test split of a source with the bundle's classes, and say where it flatters the bundle."""
    from edgecnn.pipeline.data.sources import open_source
    from edgecnn.pipeline.quantization.recipe import overlap_warning

    source = open_source(data)
    if source.labels != bundle.manifest.labels:
        raise UsageError(f"{data} has other classes than {bundle.path}: name the data that it was trained on")
    split = source.split("test")
    warning = overlap_warning(bundle, split)
    if warning:
        warn(warning, strict=strict)
    return split
