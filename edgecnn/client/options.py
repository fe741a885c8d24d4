"""Which servers are asked and how patiently: what a user gives, checked, and the only place of its defaults.

Reading it loads nothing, so that the command line can show the defaults.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from edgecnn.errors import UsageError

TIMEOUT_S = 30.0
"""For one request, all attempts and the pauses between them together."""


@dataclass(frozen=True)
class Retries:
    """How a request is repeated that met no server, a broken connection or a busy server; 4xx is never repeated.

    A server that failed rests for a random time, up to a bound that doubles with each failure in a row ("full jitter",
    Brooker, Exponential Backoff and Jitter, 2015), and at least for as long as it has asked for. Others are asked at
    once meanwhile.

    Attributes:
        attempts: how often one request is sent at most, whichever server gets it.
        first_rest_s: bound of the rest after one failure.
        longest_rest_s: bound of the rest after however many.
    """

    attempts: int = 12
    first_rest_s: float = 0.1
    longest_rest_s: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise UsageError(f"attempts must be at least 1, found {self.attempts}")
        if not 0 < self.first_rest_s <= self.longest_rest_s < float("inf"):
            raise UsageError(
                f"rests must satisfy 0 < first_rest_s <= longest_rest_s, found {self.first_rest_s:g} and "
                f"{self.longest_rest_s:g}"
            )

    def longest_after(self, failures: int) -> float:
        """Return the bound of the rest after so many failures in a row, in seconds."""
        return min(self.longest_rest_s, self.first_rest_s * 2.0 ** min(failures - 1, 60))


def check_urls(urls: str | Sequence[str]) -> tuple[str, ...]:
    """Return the servers' URLs, each once and without a slash at its end.

    Raises:
        UsageError: there is none, or one is no http:// or https:// URL of a server.
    """
    given = [urls] if isinstance(urls, str) else list(urls)
    if not given:
        raise UsageError("expected the URL of a server, such as http://127.0.0.1:8080, found none")
    return tuple(dict.fromkeys(map(_checked, given)))


def check_timeout(timeout_s: float) -> float:
    """Return a timeout that is one.

    Raises:
        UsageError: it is not a positive number of seconds.
    """
    if not 0 < timeout_s < float("inf"):
        raise UsageError(f"timeout_s must be a positive number of seconds, found {timeout_s:g}")
    return float(timeout_s)


def check_key(key: str | None) -> str | None:
    """Return a key that can stand in a header.

    Raises:
        UsageError: it cannot; the message shows nothing of it.
    """
    if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
        raise UsageError("the API key must be printable ASCII characters without spaces")
    return key


def _checked(url: str) -> str:
    example = "such as http://127.0.0.1:8080"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not the URL of a server, {example}: {error}") from None
    # urlsplit() drops line breaks and takes spaces.
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not host or not is_plain:
        raise UsageError(f"{url!r} is not the URL of a server, {example}")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(f"the URL of {host} must be scheme, host, port and path only, {example}; a key has its option")
    return f"{parts.scheme}{url[len(parts.scheme) :]}".rstrip("/")  # the scheme in lower case
