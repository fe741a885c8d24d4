"""What is sent to a server and what it answers, and how an answer becomes an error. No network here."""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgecnn.client.rotation import Server
from edgecnn.errors import ServerError

_LONGEST_TEXT, _LONGEST_OTHER = 500, 120
"""Characters that are shown of an error by the protocol, and of anything else."""

_LOOKED_AT = 4096
_UNAUTHORIZED = 401
_NOTHING = "without a word"
_PAGE = re.compile(r"\s*<(!doctype|html|head|body|\?xml)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Request:
    """What is sent.

    Attributes:
        method: of HTTP.
        path: behind the server's URL.
        body: of the request.
        headers: beside those that every request has.
    """

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class NoAnswer(Exception):
    """A server has not answered, or wants to be asked again.

    Attributes:
        is_final: whether asking it again would be of no use.
        retry_after_s: for how long it wants to be left alone.
    """

    def __init__(self, reason: str, *, is_final: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Answer:
    """What a server has answered.

    Attributes:
        server: which one.
        status: in HTTP.
        headers: by name in lower case.
        body: as it came.
        with_key: whether the request bore a key.
    """

    server: Server
    status: int
    headers: Mapping[str, str]
    body: bytes
    with_key: bool = False

    @property
    def is_good(self) -> bool:
        """Whether it is no error."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Return the body, read as JSON.

        Raises:
            ServerError: it is none.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise self.strange("this is not JSON") from None

    def accepted(self) -> "Answer":
        """Return this answer if it is no error.

        Raises:
            ServerError: it is one.
        """
        if self.is_good:
            return self
        hint = ""
        if self.status == _UNAUTHORIZED:
            hint = f"; {'check the' if self.with_key else 'it wants a'} key: api_key, or --api-key-file"
        raise self.error(f"answers {self.status}: {self.text()}{hint}")

    def told(self) -> str:
        """Return who has answered what, for an error."""
        return f"{self.server.url} answers {self.status}: {self.text()}"

    def strange(self, why: str) -> ServerError:
        """Return the error that this is no answer of the protocol."""
        return self.error(f"does not answer by the Open Inference Protocol: {why}")

    def error(self, message: str) -> ServerError:
        """Return an error of which this answer is the reason; the message goes on behind the server's URL."""
        text = f"{self.server.url} {one_line(message)}"
        return ServerError(text, url=self.server.url, status=self.status, text=self.text())

    def text(self) -> str:
        """Return what an error says, on one line and not at length."""
        try:
            return one_line(str(json.loads(self.body)["error"]))[:_LONGEST_TEXT] or _NOTHING
        except (ValueError, LookupError, TypeError, RecursionError):
            found = self.body[:_LOOKED_AT].decode(errors="replace")
        if _PAGE.match(found):
            title = _TITLE.search(found)
            named = f", {one_line(html.unescape(title[1]))[:_LONGEST_OTHER]!r}" if title else ""
            hint = "; is this the URL of a server of the Open Inference Protocol?" if self.status < 500 else ""
            return f"a web page{named}{hint}"
        found = one_line(found)
        return (found if len(found) <= _LONGEST_OTHER else f"{found[: _LONGEST_OTHER - 1]}…") or _NOTHING


def one_line(text: str) -> str:
    """Return text that a server sent as it may stand on a terminal: no control characters, no line breaks."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
