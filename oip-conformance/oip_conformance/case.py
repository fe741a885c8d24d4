"""What a case of the suite is, and how cases are registered: each with the sentence that it rests on.

Nothing here asks a server.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from oip_conformance.subject import Subject

Level = Literal["required", "extension", "expected"]
"""`required` by the protocol; by an `extension` that the server lists; or `expected` by clients, HTTP or safety."""

Outcome = Literal["pass", "fail", "not applicable"]

LEVELS: tuple[Level, ...] = ("required", "extension", "expected")

Ask = Callable[[Subject], str | None]
"""Asks the server. Returns what was found where that is worth saying, raises `Deviation` or `NotApplicable`."""


@dataclass(frozen=True)
class Case:
    """One thing that a server does.

    Attributes:
        id: short and stable, words with hyphens.
        title: a sentence that says what a server does.
        source: the sentence that it rests on and its place, or the client that needs it.
        level: how much it counts.
        extension: that the server must list for the case to apply; empty for none.
        ask: the question.
    """

    id: str
    title: str
    source: str
    level: Level
    extension: str
    ask: Ask


@dataclass
class Topic:
    """Cases about one thing, in the order in which they are asked.

    Attributes:
        title: of the group in the table.
        extension: that all of its cases need; empty for none.
        cases: those registered so far.
    """

    title: str
    extension: str = ""
    cases: list[Case] = field(default_factory=list)

    def required(self, id: str, title: str, source: str) -> Callable[[Ask], Ask]:  # noqa: A002
        """Register the decorated function as a case that the protocol itself requires."""
        return self.case(id, title, source, level="required")

    def extended(self, id: str, title: str, source: str) -> Callable[[Ask], Ask]:  # noqa: A002
        """Register the decorated function as a case that the topic's extension requires."""
        return self.case(id, title, source, level="extension")

    def expected(self, id: str, title: str, source: str) -> Callable[[Ask], Ask]:  # noqa: A002
        """Register the decorated function as a case that clients, HTTP or safe behaviour need."""
        return self.case(id, title, source, level="expected")

    def case(self, id: str, title: str, source: str, *, level: Level) -> Callable[[Ask], Ask]:  # noqa: A002
        """Register the decorated function as a case of some level."""

        def register(ask: Ask) -> Ask:
            self.cases.append(Case(id, title, source, level, self.extension, ask))
            return ask

        return register
