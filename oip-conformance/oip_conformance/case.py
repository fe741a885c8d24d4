"""The cases of the suite and their registration."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from oip_conformance.subject import Subject

Level = Literal["required", "extension", "expected"]
"""`required` by the protocol, by an `extension` that the server lists, or `expected` by clients, HTTP or safety."""

Outcome = Literal["pass", "fail", "not applicable"]

LEVELS: tuple[Level, ...] = ("required", "extension", "expected")

Ask = Callable[[Subject], str | None]
"""Sends requests. Returns what it found, or nothing. Raises `Deviation` or `NotApplicable`."""


@dataclass(frozen=True)
class Case:
    """A test of one property of a server.

    Attributes:
        id: short and stable; words with hyphens.
        title: a sentence that states what a conforming server does.
        source: the sentence of the specification and its place, or the client that needs it.
        level: whether the protocol, an extension or a client needs it.
        extension: the case applies if the server lists it; empty for none.
        ask: the function that tests the server.
    """

    id: str
    title: str
    source: str
    level: Level
    extension: str
    ask: Ask


@dataclass
class Topic:
    """A group of cases, in the order in which they run.

    Attributes:
        title: of the group in the report.
        extension: that all its cases need; empty for none.
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
        """Register the decorated function as a case."""

        def register(ask: Ask) -> Ask:
            self.cases.append(Case(id, title, source, level, self.extension, ask))
            return ask

        return register
