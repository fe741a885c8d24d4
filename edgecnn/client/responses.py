"""A response to a client's request: whether another attempt may succeed, and the error that it becomes.

A response is the server's, or that of a balancer, a proxy or a gateway before it. An error in the protocol's form, a
JSON object with the text `error`, is the server's. Anything else is taken for a proxy's, which may be different at
another URL, or a moment later.
"""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from edgecnn.errors import ServerError

_TEMPORARY = (408, 425, 429, 502, 503, 504)
"""Statuses after which the same request may succeed later (RFC 9110, 6585, 8470): a server that is busy, starts or
drains, and a proxy whose server hangs or has ended."""

_LASTING = (501, 505, 511)
"""Statuses from 500 on that do not change. All others are temporary, if a proxy sent them: 500, Cloudflare's 520 to
530, and statuses of other vendors."""

_OF_ONE_SERVER = (404, 500)
"""Errors of a server that another one may not have: it has no such model, for example during a rolling upgrade, or its
engine has failed."""

_MAX_ERROR_CHARS, _MAX_OTHER_CHARS = 500, 120
"""Maximum characters in messages: of an error in the protocol's form, and of any other text."""

_LONGEST_DATE = 64

_HTML = re.compile(rb"\s*<(!doctype|html|head|body|\?xml)", re.IGNORECASE)
_OTHER_TEXT = re.compile(rb"\s*[^\s\[{]")
"""The beginning of a text that is neither empty nor a JSON object or array."""

_TITLE = re.compile(r"<(title|h1)[^>]*>(.*?)</\1>", re.IGNORECASE | re.DOTALL)
_NEEDS_TLS = re.compile(r"https (port|server)|ssl-enabled", re.IGNORECASE)
"""What nginx, Go and Apache answer to plain HTTP on a port for TLS."""


class NoResponse(Exception):
    """A server did not respond, or cannot answer at the moment.

    Attributes:
        is_final: whether another attempt at this server cannot succeed.
        is_closed: whether the connection was closed before the first byte of a response.
        retry_after_s: how long the server asks clients to wait.
    """

    def __init__(
        self, reason: str, *, is_final: bool = False, is_closed: bool = False, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.is_closed = is_closed
        self.retry_after_s = retry_after_s


class OneServersError(ServerError):
    """An error that another server may not have: it is a proxy's, or the response does not follow the protocol."""


class ForeignError(OneServersError):
    """An error of a proxy: its body is a web page or another text, and not JSON."""


@dataclass(frozen=True)
class ServerResponse:
    """A response of the server at `url`; names of headers are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def checked(self) -> "ServerResponse":
        """Return this response if its status is 2xx and its body is not a web page.

        Raises:
            NoResponse: the same request may succeed later.
            OneServersError: another server may answer the request.
            ServerError: the request is invalid at every server.
        """
        if 200 <= self.status < 300 and not self._is_page():
            return self
        error = self._protocol_error_text()
        is_fault = self.status >= 500 and self.status not in _LASTING and error is None
        if self.status in _TEMPORARY or is_fault:
            retry_after_s = parse_retry_after(self.headers)
            raise NoResponse(f"{self.url} answers {self.status}: {self.text()}", retry_after_s=retry_after_s)
        kind: type[ServerError] = ForeignError if _OTHER_TEXT.match(self.body) else OneServersError
        if error is not None and self.status not in _OF_ONE_SERVER:
            kind = ServerError
        raise self.error(f"answers {self.status}: {self.text()}{self._login_hint()}", kind)

    def json(self) -> Any:
        """Parse the body as JSON; raises `OneServersError` if that fails."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise self.protocol_error("its response is not JSON") from None

    def protocol_error(self, reason: str) -> ServerError:
        """Return the error that this response does not follow the protocol."""
        return self.error(f"does not follow the Open Inference Protocol: {reason}", OneServersError)

    def error(self, message: str, kind: type[ServerError] = ServerError) -> ServerError:
        """Return an error of this server; the message follows its URL."""
        return kind(f"{self.url} {one_line(message)}", url=self.url, status=self.status, text=self.text())

    def text(self) -> str:
        """Return the error text of the body on one short line. That of a proxy is followed by what to do."""
        error = self._protocol_error_text()
        if error is not None:
            return one_line(error)[:_MAX_ERROR_CHARS] or "an empty error"
        found = self._beginning()
        if self._is_page():
            title = _TITLE.search(found)
            named = f", {one_line(html.unescape(title[2]))[:_MAX_OTHER_CHARS]!r}" if title else ""
            return f"a web page{named}{self._hint()}"
        text = one_line(found)
        short = text if len(text) <= _MAX_OTHER_CHARS else f"{text[: _MAX_OTHER_CHARS - 1]}…"
        return f"{short or 'an empty body'}{self._hint()}"

    def _is_page(self) -> bool:
        return _HTML.match(self.body) is not None

    def _beginning(self) -> str:
        return self.body[:4096].decode(errors="replace")

    def _protocol_error_text(self) -> str | None:
        """Return the text of an error in the protocol's form; None for any other body."""
        if 200 <= self.status < 300:
            return None
        try:
            error = json.loads(self.body)["error"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return None
        return error if isinstance(error, str) else None

    def _hint(self) -> str:
        """Return what to do about an error that is not the server's."""
        status = self.status
        if 300 <= status < 400:
            target = one_line(self.headers.get("location", ""))
            if self.url.startswith("http:") and target.startswith("https:"):
                return "; it redirects to TLS: use an https:// URL"
            return (
                f"; it redirects to {target[:_MAX_OTHER_CHARS]!r}: use the URL of the server itself" if target else ""
            )
        if status == 400 and _NEEDS_TLS.search(self._beginning()):
            return "; it uses TLS: use an https:// URL"
        if status == 413:
            return (
                "; a proxy before the server limits the size of requests: raise its limit (client_max_body_size in "
                "nginx), or send fewer or smaller images"
            )
        if status == 429:
            return "; a limit of the rate of requests is reached: send fewer at a time, or raise the limit"
        if status < 300 or status in (404, 405, 501, 511):
            return "; is this the URL of a server of the Open Inference Protocol?"
        return ""

    def _login_hint(self) -> str:
        if self.status != 401:
            return ""
        if self._protocol_error_text() is None and "bearer" not in self.headers.get("www-authenticate", "").lower():
            return "; a proxy before the server requires another login than an API key"
        return "; pass its API key: api_key, or --api-key-file"


def parse_retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds in `Retry-After` (RFC 9110, 10.2.3); 0 if it is missing, invalid or past.

    An HTTP date, in any of its three forms, counts from the response's `Date`, because clocks differ.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    until = _date(text)
    if until is None:
        return 0.0
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max((until - now).total_seconds(), 0.0)


def one_line(text: str) -> str:
    """Return text from a server without control characters and line breaks, safe for a terminal."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _date(text: str) -> datetime | None:
    """Return an HTTP date (RFC 9110, 5.6.7); None if it is not one."""
    try:
        found = parsedate_to_datetime(text[:_LONGEST_DATE])
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
