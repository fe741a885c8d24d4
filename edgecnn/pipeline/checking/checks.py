"""Check a stated preprocessing in one of three ways: the user's answers, the user's code, or labelled images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle.proof import PreprocessingCheck
from edgecnn.bundle.self_test import EncodedImage
from edgecnn.errors import UsageError
from edgecnn.pipeline.checking.accuracy import Better, better_statement
from edgecnn.pipeline.checking.answers import check_openable
from edgecnn.pipeline.checking.calling import OPTION, check_function
from edgecnn.pipeline.checking.expecting import check_answers
from edgecnn.pipeline.checking.subject import Subject
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.user_code import UserFunction, load_attribute
from edgecnn.progress import Progress


@dataclass(frozen=True)
class PreprocessingChecks:
    """How to check a stated preprocessing. Without either, it is recorded as stated.

    Attributes:
        expect: the user's answers to images, a CSV file or npz archive; see `checking.answers.read_answers`.
        preprocess: the user's code; see `checking.calling.check_function`.
    """

    expect: Path | None = None
    preprocess: UserFunction | None = None

    @classmethod
    def named(cls, expect: Path | None, preprocess: str | None) -> "PreprocessingChecks":
        """Return the checks for a file of answers, or for `package.module:function` or `file.py:function`.

        Raises:
            UsageError: both are given, because a proof records one; the file cannot be opened; or see `load_attribute`.
            EdgecnnError: see `load_attribute`.
        """
        if expect is not None and preprocess is not None:
            raise UsageError("--expect and --preprocess are two ways to check the preprocessing: give one of them")
        if expect is not None:
            check_openable(expect)
        return cls(expect, None if preprocess is None else load_attribute(preprocess, option=OPTION))


NOT_CHECKED = PreprocessingChecks()


@dataclass(frozen=True)
class Checked:
    """How a preprocessing was checked.

    Attributes:
        how: what a proof records.
        images: number of answers or image files that were compared; None if nothing was.
        better: a statement that gives a clearly better top-1.
    """

    how: PreprocessingCheck
    images: int | None = None
    better: Better | None = None


def check_preprocessing(
    checks: PreprocessingChecks,
    subject: Subject,
    chosen: Split,
    encoded: Sequence[EncodedImage],
    test: Split,
    *,
    progress: Progress,
) -> Checked:
    """Check the preprocessing of a reference.

    Args:
        checks: what to compare with. Without either, other statements are tried on the test split, unless edgecnn
            trained the reference.
        subject: the reference.
        chosen: the images of the self-test.
        encoded: its image files.
        test: the test split.
        progress: called at each step.

    Raises:
        EdgecnnError: the answers or the code cannot be used.
        ProofFailed: the answers, pixels or logits differ.
    """
    if checks.expect is not None:
        return Checked("answers", check_answers(checks.expect, subject, progress=progress))
    if checks.preprocess is not None:
        images = check_function(checks.preprocess, subject, chosen.images, encoded, progress=progress)
        return Checked("function", images)
    if subject.reference.training is not None:
        return Checked("trained")
    return Checked("stated", better=better_statement(test, subject, progress=progress))
