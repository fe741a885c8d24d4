"""Runs the cases against a server, and says what came of it."""

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
    """What came of one case.

    Attributes:
        id: of the case.
        topic: its group.
        title: of the case.
        source: that it rests on.
        level: how much it counts.
        outcome: of asking.
        expected: of the server, where it failed more exactly than the title says.
        found: what the server did; for what is not applicable, why.
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
    """How many cases of a level had each outcome."""

    level: Level
    passed: int
    failed: int
    not_applicable: int


@dataclass(frozen=True)
class Report:
    """What came of all cases.

    Attributes:
        server: its name and version, as it says.
        model: that was asked.
        extensions: that the server lists.
        results: in the order of asking.
        totals: by level.
    """

    server: str
    model: str
    extensions: tuple[str, ...]
    results: tuple[Result, ...]
    totals: tuple[Totals, ...]

    def failed(self, *levels: Level) -> tuple[Result, ...]:
        """Return the failures of some levels."""
        return tuple(each for each in self.results if each.outcome == "fail" and each.level in levels)


def run(
    subject: Subject, *, topics: Sequence[Topic] = TOPICS, back_s: float = 10.0, progress: Progress = lambda *_: None
) -> Report:
    """Ask every case, one after the other; no answer of a server ends the run.

    Args:
        subject: whom to ask.
        topics: what to ask.
        back_s: where a case took the server away, how long to wait for it; then nothing more is asked.
        progress: hears of each case.
    """
    count = sum(len(topic.cases) for topic in topics)
    results: list[Result] = []
    gone = ""
    for topic in topics:
        for case in topic.cases:
            progress(len(results), count, case.id)
            result = _asked(case, topic, subject) if not gone else _not_asked(case, topic, gone)
            if result.outcome == "fail" and not gone and not _is_there(subject):
                result = dataclasses.replace(result, found=f"{result.found}; then no server is there any more")
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
        found = case.ask(subject) or "that"
    except NotApplicable as reason:
        outcome, found = "not applicable", str(reason)
    except Deviation as deviation:
        outcome, expected, found = "fail", deviation.expected, deviation.found
    except NoAnswer as error:
        outcome, found = "fail", str(error)
    except Exception as error:  # whatever a server answers, the other cases are asked too
        outcome, found = "fail", f"an answer that cannot be read ({type(error).__name__}: {str(error)[:80]})"
    shown = (one_line(expected), one_line(found))
    return Result(case.id, topic.title, case.title, case.source, case.level, outcome, *shown)


def _not_asked(case: Case, topic: Topic, gone: str) -> Result:
    """Say of a required case that it fails, since nobody is there; others cannot be told."""
    outcome: Outcome = "fail" if case.level == "required" else "not applicable"
    found = f"no server is there any more, since {gone}"
    return Result(case.id, topic.title, case.title, case.source, case.level, outcome, case.title, found)


def _is_there(subject: Subject) -> bool:
    """Whether the server still takes requests."""
    try:
        subject.get("/v2/health/live")
    except NoAnswer:
        return False
    return True


def _comes_back(subject: Subject, back_s: float) -> bool:
    """Wait until somebody has started the server again and its model is ready; give up in time."""
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
