"""HTTP answers, and their text in reports."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from oip_conformance.deviation import Deviation

_SHOWN = 90


class NoAnswer(Exception):
    """The server sent no complete HTTP answer. The text says what happened, without control characters."""

    def __init__(self, found: str) -> None:
        super().__init__(one_line(found))


class NoConnection(NoAnswer):
    """The server accepts no connections."""


@dataclass(frozen=True)
class Answer:
    """A complete HTTP answer.

    Attributes:
        status: the status code.
        headers: by name in lower case; repeated ones are joined with commas.
        body: as received; a content coding is not decoded.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def found(self) -> str:
        """The status and the beginning of the body."""
        text = shown(self.body)
        return f"status {self.status}" + (f", {text}" if text else ", no body")

    @property
    def media_type(self) -> str:
        """The media type in Content-Type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def shown(content: bytes) -> str:
    """Return the beginning of a body on one line."""
    text = one_line(content[: 2 * _SHOWN].decode(errors="replace"))
    return text if len(text) <= _SHOWN and len(content) <= 2 * _SHOWN else f"{text[: _SHOWN - 1]}…"


def one_line(text: str) -> str:
    """Return text from a server without control characters and line breaks."""
    return "".join(each if each.isprintable() else "�" for each in " ".join(text.split()))


def strict_json(content: bytes) -> Any:
    """Parse JSON by RFC 8259: UTF-8, without NaN and Infinity.

    Raises:
        Deviation: the content is not valid.
    """
    try:
        return json.loads(content.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Deviation("valid JSON", shown(content) or "an empty body") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
