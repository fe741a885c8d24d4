"""Runs the cases against a server and reports the results."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oip_conformance.answer import NoAnswer, one_line
from oip_conformance.case import LEVELS, Case, Level, Outcome, Topic
from oip_conformance.cases import TOPICS
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.subject import Subject

_AGAIN_S = 0.2

Progress = Callable[[int, int, str], None]
"""Receives the number of finished cases, the number of all cases, and the id of the next case; empty at the end."""


@dataclass(frozen=True)
class Result:
    """The result of a case.

    Attributes:
        id: of the case.
        topic: its group.
        title: of the case.
        source: that it cites.
        level: of the case.
        outcome: of the case.
        expected: what the server must do; the title, or more detail for a failure.
        found: what the server did, or why the case is not applicable.
    """

    id: str
    topic: str
    title: str
    source: str
    level: Level
    outcome: Outcome
    expected: str
    found: str


@dataclass(frozen=True)
class Totals:
    """The number of cases of a level by outcome."""

    level: Level
    passed: int
    failed: int
    not_applicable: int


@dataclass(frozen=True)
class Report:
    """The results of all cases.

    Attributes:
        server: its name and version from its metadata.
        model: its name.
        extensions: that the server lists.
        results: of the cases, in their order.
        totals: by level.
    """

    server: str
    model: str
    extensions: tuple[str, ...]
    results: tuple[Result, ...]
    totals: tuple[Totals, ...]

    def failed(self, *levels: Level) -> tuple[Result, ...]:
        """Return the failed cases of some levels."""
        return tuple(each for each in self.results if each.outcome == "fail" and each.level in levels)


def run(
    subject: Subject, *, topics: Sequence[Topic] = TOPICS, back_s: float = 10.0, progress: Progress = lambda *_: None
) -> Report:
    """Run every case, one after the other. No answer of a server ends the run.

    Args:
        subject: the server and the model.
        topics: the cases to run.
        back_s: how long to wait for a server that a case has stopped. After that, no more requests are sent.
        progress: called before each case and at the end.
    """
    count = sum(len(topic.cases) for topic in topics)
    results: list[Result] = []
    gone = ""
    for topic in topics:
        for case in topic.cases:
            progress(len(results), count, case.id)
            result = _asked(case, topic, subject) if not gone else _not_asked(case, topic, gone)
            if result.outcome == "fail" and not gone and not _is_there(subject):
                result = dataclasses.replace(result, found=f"{result.found}; then the server does not answer")
                gone = "" if _comes_back(subject, back_s) else case.id
            results.append(result)
    progress(count, count, "")
    return Report(
        server=subject.server,
        model=subject.model,
        extensions=tuple(sorted(subject.extensions)),
        results=tuple(results),
        totals=tuple(_totals(level, results) for level in LEVELS),
    )


def _asked(case: Case, topic: Topic, subject: Subject) -> Result:
    outcome: Outcome = "pass"
    expected, found = case.title, ""
    try:
        if case.extension and case.extension not in subject.extensions:
            raise NotApplicable(f"the server does not list {case.extension}")
        found = case.ask(subject) or "as expected"
    except NotApplicable as reason:
        outcome, found = "not applicable", str(reason)
    except Deviation as deviation:
        outcome, expected, found = "fail", deviation.expected, deviation.found
    except NoAnswer as error:
        outcome, found = "fail", str(error)
    except Exception as error:  # no answer of a server may end the run
        outcome, found = "fail", f"an answer that cannot be read ({type(error).__name__}: {str(error)[:80]})"
    shown = (one_line(expected), one_line(found))
    return Result(case.id, topic.title, case.title, case.source, case.level, outcome, *shown)


def _not_asked(case: Case, topic: Topic, gone: str) -> Result:
    """Return the result of a case without a server: required cases fail, others are not applicable."""
    outcome: Outcome = "fail" if case.level == "required" else "not applicable"
    found = f"the server has not answered since {gone}"
    return Result(case.id, topic.title, case.title, case.source, case.level, outcome, case.title, found)


def _is_there(subject: Subject) -> bool:
    """Return whether the server answers requests."""
    try:
        subject.get("/v2/health/live")
    except NoAnswer:
        return False
    return True


def _comes_back(subject: Subject, back_s: float) -> bool:
    """Wait until the server has restarted and its model is ready; return False if time runs out."""
    deadline = time.monotonic() + back_s
    while time.monotonic() < deadline:
        with contextlib.suppress(NoAnswer):
            if subject.get(f"{subject.path}/ready").status == 200:
                return True
        time.sleep(_AGAIN_S)
    return False


def _totals(level: Level, results: Sequence[Result]) -> Totals:
    outcomes = [each.outcome for each in results if each.level == level]
    return Totals(level, outcomes.count("pass"), outcomes.count("fail"), outcomes.count("not applicable"))
