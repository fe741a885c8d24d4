"""An answer as it came, and how a line of a report speaks of it."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from oip_conformance.deviation import Deviation

_SHOWN = 90


class NoAnswer(Exception):
    """There was no HTTP answer; the text says what came instead, as it may stand on a terminal."""

    def __init__(self, found: str) -> None:
        super().__init__(one_line(found))


class NoConnection(NoAnswer):
    """Nobody takes connections there."""


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer.

    Attributes:
        status: the code.
        headers: by name in lower case; those that stand twice are joined by commas.
        body: as it travelled, with any encoding still on it.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def found(self) -> str:
        """What it is, in a few words."""
        text = shown(self.body)
        return f"status {self.status}" + (f", {text}" if text else ", no body")

    @property
    def media_type(self) -> str:
        """What the body claims to be, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def shown(content: bytes) -> str:
    """Return a body's beginning on one line."""
    text = one_line(content[: 2 * _SHOWN].decode(errors="replace"))
    return text if len(text) <= _SHOWN and len(content) <= 2 * _SHOWN else f"{text[: _SHOWN - 1]}…"


def one_line(text: str) -> str:
    """Return text that a server sent as it may stand on a terminal: no control characters, no line breaks."""
    return "".join(each if each.isprintable() else "�" for each in " ".join(text.split()))


def strict_json(content: bytes) -> Any:
    """Parse what is JSON by RFC 8259: UTF-8, and no NaN or Infinity.

    Raises:
        Deviation: it is none.
    """
    try:
        return json.loads(content.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Deviation("valid JSON", shown(content) or "an empty body") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
