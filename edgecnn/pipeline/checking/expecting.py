"""Compare the user's own answers with the reference under the stated preprocessing."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from edgecnn.errors import AnswersError, ImageError, ProofFailed
from edgecnn.pipeline.checking.answers import Answers, read_answers
from edgecnn.pipeline.checking.comparing import MAX_DIFFERENCE, Difference, compare_answers
from edgecnn.pipeline.checking.statements import (
    Statement,
    interpolations,
    ranges,
    resizes,
    reversals,
)
from edgecnn.pipeline.checking.subject import Subject
from edgecnn.progress import Progress, silent
from edgecnn.runtime.rates import three_digits

_BATCH = 16
_MOST_TRIED = 8
"""Number of images on which other statements are tried: those with the largest errors."""


def check_answers(path: Path, subject: Subject, *, progress: Progress) -> int:
    """Check that the reference gives the user's answers to the user's images, and return their number.

    Raises:
        UsageError, AnswersError: see `read_answers`.
        ProofFailed: the answers differ. The message names another statement that gives the user's answers, if there
            is one.
    """
    reference = subject.reference
    answers = read_answers(path, reference.labels, reference.scores)
    stated = Statement(reference.preprocessing)
    found = _difference(answers, _logits(answers, stated, subject, progress), subject)
    if not found.holds:
        raise ProofFailed(
            f"{_described(answers, found)}{_cause(answers, found, stated, subject, progress)}; no bundle was written"
        )
    return len(answers)


def _described(answers: Answers, found: Difference) -> str:
    name = answers.paths[int(found.order[0])].name
    text = (
        f"the {answers.kind} in {answers.file} differ from the reference with the stated preprocessing: "
        f"{found.differing} of {found.images} images have another label"
    )
    if found.error is None or found.relative is None:
        return f"{text}, the worst is {name}"
    return (
        f"{text}, the RMS difference is {found.relative:.1%} of the spread (allowed {MAX_DIFFERENCE:.0%}), the largest "
        f"is {three_digits(found.error)} for {name}"
    )


def _logits(answers: Answers, statement: Statement, subject: Subject, progress: Progress) -> np.ndarray:
    chunks = []
    for start in range(0, len(answers), _BATCH):
        progress("expected answers", start, len(answers))
        chunks.append(subject.session.run_normalised(_inputs(answers, start, statement, subject)))
    progress("expected answers", len(answers), len(answers))
    return np.concatenate(chunks)


def _inputs(answers: Answers, start: int, statement: Statement, subject: Subject) -> np.ndarray:
    try:
        return statement.inputs_of(answers.paths[start : start + _BATCH], subject.session)
    except ImageError as error:
        raise AnswersError(f"{answers.file} names an image that cannot be read: {error}") from None


def _difference(answers: Answers, logits: np.ndarray, subject: Subject) -> Difference:
    return compare_answers(answers.kind, answers.values, logits, subject.logits, subject.reference.scores)


def _cause(answers: Answers, found: Difference, stated: Statement, subject: Subject, progress: Progress) -> str:
    """Return the statements that give the user's answers, as a part of the message; empty if there are none.

    Labels often match under several statements, so that two are named. Of logits and probabilities the first is enough.
    """
    worst = found.order[:_MOST_TRIED]
    paths = tuple(answers.paths[int(i)] for i in worst)
    few = Answers(answers.file, paths, answers.kind, answers.values[worst])
    tried, matching = list(_others(stated, subject)), list[Statement]()
    for number, other in enumerate(tried):
        progress("other statements", number, len(tried))
        if any(set(each.words) <= set(other.words) for each in matching):
            continue
        if _matches(few, other, subject) and _matches(answers, other, subject):
            matching.append(other)
            if len(matching) == (2 if answers.kind == "labels" else 1):
                break
    return f"; they match with {', or with '.join(map(str, matching))}" if matching else ""


def _matches(answers: Answers, statement: Statement, subject: Subject) -> bool:
    return _difference(answers, _logits(answers, statement, subject, silent), subject).holds


def _others(stated: Statement, subject: Subject) -> Iterator[Statement]:
    """Yield the statements that differ in one step, and then in two."""
    changes: tuple[Callable[[Statement], Iterator[Statement]], ...] = (
        partial(reversals, session=subject.session, has_option=subject.has_channel_order),
        ranges,
        partial(resizes, size=subject.size),
        interpolations,
    )
    for change in changes:
        yield from change(stated)
    for first, second in itertools.combinations(changes, 2):
        for each in first(stated):
            yield from second(each)
