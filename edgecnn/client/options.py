"""Which servers are asked and how patiently: what a user gives, checked, and the only place of its defaults.

Reading it loads nothing, so that the command line can show the defaults.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from urllib.parse import urlsplit

from edgecnn.errors import UsageError

TIMEOUT_S = 30.0
"""For one request, all attempts and the pauses between them together."""

_EXAMPLE = "such as http://127.0.0.1:8080"


@dataclass(frozen=True)
class Retries:
    """How a request is repeated that met no server, a broken connection or a busy server.

    Of 4xx only 404 is asked of another server, which may have what the first has not.

    A server that failed rests for a random time, up to a bound that doubles with each failure in a row ("full jitter",
    Brooker, Exponential Backoff and Jitter, 2015), and at least for as long as it has asked for. Others are asked at
    once meanwhile.

    Attributes:
        attempts: how often one request is sent at most, whichever server gets it.
        first_rest_s: bound of the rest after one failure.
        longest_rest_s: bound of the rest after however many; a server that lacks a model is not asked meanwhile.
    """

    attempts: int = 12
    first_rest_s: float = 0.1
    longest_rest_s: float = 2.0

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise UsageError(f"attempts must be a whole number of at least 1, found {self.attempts!r:.40}")
        for name in ("first_rest_s", "longest_rest_s"):
            if not _is_number(getattr(self, name)):
                raise UsageError(f"{name} must be a number of seconds, found {getattr(self, name)!r:.40}")
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
    given = [urls] if isinstance(urls, str) or not isinstance(urls, Iterable) else list(urls)
    if not given:
        raise UsageError(f"expected the URL of a server, {_EXAMPLE}, found none")
    return tuple(dict.fromkeys(map(_checked, given)))


def check_model(model: str | None) -> str | None:
    """Return a model's name, or None for the only one that is ready.

    Raises:
        UsageError: it is no name.
    """
    if model is not None and not (isinstance(model, str) and model):
        raise UsageError(f"model must be the name of a model, or None for the only one, found {model!r:.40}")
    return model


def check_timeout(timeout_s: float) -> float:
    """Return a timeout that is one.

    Raises:
        UsageError: it is not a positive number of seconds.
    """
    if not _is_number(timeout_s) or not 0 < timeout_s < float("inf"):
        raise UsageError(f"timeout_s must be a positive number of seconds, found {timeout_s!r:.40}")
    return float(timeout_s)


def check_retries(retries: Retries) -> Retries:
    """Return what says how requests are repeated.

    Raises:
        UsageError: it is something else.
    """
    if not isinstance(retries, Retries):
        raise UsageError(f"retries must be edgecnn.Retries(attempts=…), found {retries!r:.40}")
    return retries


def check_ca(ca: str | Path | None, urls: Sequence[str]) -> Path | None:
    """Return the file of authorities for https.

    Raises:
        UsageError: it is no path, or there is nothing that it would be for.
    """
    if ca is None:
        return None
    if not isinstance(ca, str | os.PathLike):
        raise UsageError(f"ca must be the path of a PEM file, found {ca!r:.40}")
    if not any(url.startswith("https:") for url in urls):
        raise UsageError(
            f"ca (--ca) is for https, and no certificate is looked at with {', '.join(urls)}: say https://"
        )
    return Path(ca)


def check_key(key: str | None) -> str | None:
    """Return a key that can stand in a header.

    Raises:
        UsageError: it cannot; the message shows nothing of it.
    """
    if key is not None and not isinstance(key, str):
        raise UsageError(f"the API key must be a str, found {type(key).__name__}")
    if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
        raise UsageError("the API key must be printable ASCII characters without spaces")
    return key


def _is_number(value: object) -> bool:
    return isinstance(value, Real)


def _checked(url: str) -> str:
    if not isinstance(url, str):
        raise UsageError(f"expected the URL of a server, {_EXAMPLE}, or a list of them, found {url!r:.40}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not the URL of a server, {_EXAMPLE}: {error}") from None
    # urlsplit() drops line breaks and takes spaces.
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not host or not is_plain:
        raise UsageError(f"{url!r} is not the URL of a server, {_EXAMPLE}")
    if parts.path.rstrip("/") == "/v2" or "/v2/models" in parts.path:
        raise UsageError(
            f"{url!r} goes on behind the server: its URL ends before /v2, {_EXAMPLE}; a model has its option"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"the URL of {host} must be scheme, host, port and path only, {_EXAMPLE}; a key has its option"
        )
    return f"{parts.scheme}{url[len(parts.scheme) :]}".rstrip("/")  # the scheme in lower case
