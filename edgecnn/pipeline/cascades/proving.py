"""Proves a cascade: its comparison with the reference on the test images, its self-test and its margin."""

from dataclasses import dataclass

from edgecnn.bundle.proof import Proof, UnsureRecord
from edgecnn.bundle.self_test import SelfTest
from edgecnn.pipeline.cascades.bounding import Chosen
from edgecnn.pipeline.cascades.opened_pair import OpenedPair
from edgecnn.pipeline.cascades.self_test import make_self_test
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.proving import make_proof, self_test_warnings
from edgecnn.pipeline.unsure import choose_margin, unsure_record
from edgecnn.progress import Progress
from edgecnn.runtime.verification.evaluation import Evaluation


@dataclass(frozen=True)
class Proven:
    """The proof, the self-test, the evaluation of the test images, how many of these run again, and warnings."""

    proof: Proof
    self_test: SelfTest
    evaluation: Evaluation
    again: dict[str, int]
    warnings: tuple[str, ...]


def prove(opened: OpenedPair, chosen: Chosen, test: Split, progress: Progress) -> Proven:
    """Compare the cascade with the reference on the test images, and make its self-test.

    Raises:
        ProofFailed: the self-test is not decisive.
    """
    manifest, threshold = opened.accurate.manifest, chosen.choice.threshold
    cascades = opened.cascades(threshold)
    evaluation = opened.evaluate(dict(cascades), test, progress)
    again = {name: session.counts.again for name, session in cascades.items()}
    name = f"fp32 bundle {opened.reference.digest} on {opened.engine}"
    expected = evaluation.logits["reference"]
    proof = make_proof(name, evaluation, expected, cascades, labels=manifest.labels, scores=manifest.scores)
    self_test = make_self_test(
        opened.fast,
        opened.accurate,
        threshold,
        chosen.doubtful,
        sessions=opened.fast_sessions,
        cascades=cascades,
    )
    return Proven(proof, self_test, evaluation, again, self_test_warnings(self_test, cascades, manifest))


def sealed_unsure(opened: OpenedPair, chosen: Chosen, proven: Proven) -> tuple[float | None, UnsureRecord | None]:
    """Return the margin below which an answer of the cascade is unsure, and its record.

    Graphs of one reference share its margin. The logits of two networks have other scales, so it is chosen again, on
    the cascade's answers to the choosing images.
    """
    scores, images = opened.accurate.manifest.scores, None
    if opened.fast.manifest.reference.digest == opened.accurate.manifest.reference.digest:
        margin, known = scores.unsure_margin, opened.accurate.proof().unsure
        images = None if known is None else known.chosen_on
    else:
        targets = chosen.evaluation.targets
        margin = None if targets is None else choose_margin(chosen.logits, targets, scores)
        images = chosen.evaluation.data
    if margin is None:
        return None, None
    return margin, unsure_record(margin, proven.evaluation.logits[opened.engine], proven.evaluation, scores, images)
