"""Options of a client: their defaults and their checks. Importing it loads nothing heavy."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from urllib.parse import urlsplit

from edgecnn.errors import UsageError

TIMEOUT_S = 30.0
_EXAMPLE = "such as http://127.0.0.1:8080"


@dataclass(frozen=True)
class Retries:
    """How a request is retried after a failed connection, a timeout, or a temporary error of a server or a proxy.

    After a failure a server is in back-off: no request is sent to it for a random time, whose upper bound doubles with
    each failure in a row ("full jitter", Brooker, Exponential Backoff and Jitter, 2015), and at least for its
    `Retry-After`. Other servers are used during that time. If there are others, a server that failed slowly is also in
    back-off for at least as long as the failed attempt took.

    Attributes:
        attempts: maximum number of times that one request is sent, over all servers.
        first_rest_s: upper bound of the back-off after one failure.
        longest_rest_s: upper bound of the back-off after any number of failures, `Retry-After` not included.
        longest_retry_after_s: upper bound of what counts of a `Retry-After`. Half of `timeout_s` is another one. The
            default is a third of the default of `timeout_s`: one wrong header does not fail a call.

    Raises:
        UsageError: a value is invalid.
    """

    attempts: int = 12
    first_rest_s: float = 0.1
    longest_rest_s: float = 2.0
    longest_retry_after_s: float = 10.0

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise UsageError(f"attempts must be a whole number of at least 1, found {self.attempts!r:.40}")
        for name in ("first_rest_s", "longest_rest_s", "longest_retry_after_s"):
            if not _is_number(getattr(self, name)):
                raise UsageError(f"{name} must be a number of seconds, found {getattr(self, name)!r:.40}")
        if not 0 < self.first_rest_s <= self.longest_rest_s < float("inf"):
            raise UsageError(
                f"expected 0 < first_rest_s <= longest_rest_s, found {self.first_rest_s:g} and {self.longest_rest_s:g}"
            )
        if not 0 <= self.longest_retry_after_s < float("inf"):
            raise UsageError(f"longest_retry_after_s must be at least 0 s, found {self.longest_retry_after_s:g}")

    def longest_after(self, failures: int) -> float:
        """Return the upper bound of the back-off after a number of failures in a row, in seconds."""
        return min(self.longest_rest_s, self.first_rest_s * 2.0 ** min(failures - 1, 60))


@dataclass(frozen=True)
class Options:
    """Checked options of a `Client`, with `urls` as `parse_urls` returns them.

    Raises:
        UsageError: a value is invalid; the message does not contain the key.
    """

    urls: tuple[str, ...]
    model: str | None
    api_key: str | None = field(repr=False)
    timeout_s: float
    retries: Retries
    ca: str | Path | None

    def __post_init__(self) -> None:
        check_model(self.model)
        key, timeout_s = self.api_key, self.timeout_s
        if key is not None and not isinstance(key, str):
            raise UsageError(f"the API key must be a str, found {type(key).__name__}")
        if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
            raise UsageError("the API key must be printable ASCII characters without spaces")
        if not _is_number(timeout_s) or not 0 < timeout_s < float("inf"):
            raise UsageError(f"timeout_s must be a positive number of seconds, found {timeout_s!r:.40}")
        if not isinstance(self.retries, Retries):
            raise UsageError(f"retries must be edgecnn.Retries(attempts=…), found {self.retries!r:.40}")
        if self.ca is not None and not isinstance(self.ca, str | os.PathLike):
            raise UsageError(f"ca must be the path of a PEM file, found {self.ca!r:.40}")
        if self.ca is not None and not self.uses_tls:
            raise UsageError(f"ca (--ca) needs an https:// URL, found {', '.join(self.urls)}")

    @property
    def uses_tls(self) -> bool:
        """Whether one of the URLs is https."""
        return any(url.startswith("https:") for url in self.urls)


def check_model(model: str | None) -> str | None:
    """Return the name of a model, or None; raises `UsageError` for anything else."""
    if model is not None and not (isinstance(model, str) and model):
        raise UsageError(f"model must be the name of a model, or None for the only one, found {model!r:.40}")
    return model


def parse_urls(urls: str | Sequence[str]) -> tuple[str, ...]:
    """Return the URLs of servers without duplicates and without a slash at their end.

    Raises:
        UsageError: the list is empty, or one is not an http:// or https:// URL of a server.
    """
    given = [urls] if isinstance(urls, str) or not isinstance(urls, Iterable) else list(urls)
    if not given:
        raise UsageError(f"expected the URL of a server, {_EXAMPLE}, found none")
    return tuple(dict.fromkeys(map(_parse_url, given)))


def _is_number(value: object) -> bool:
    return isinstance(value, Real)


def _parse_url(url: str) -> str:
    if not isinstance(url, str):
        raise UsageError(f"expected the URL of a server, {_EXAMPLE}, or a list of them, found {url!r:.40}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not the URL of a server, {_EXAMPLE}: {error}") from None
    # urlsplit() removes line breaks and accepts spaces.
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not host or not is_plain:
        raise UsageError(f"{url!r} is not the URL of a server, {_EXAMPLE}")
    if parts.path.rstrip("/") == "/v2" or "/v2/models" in parts.path:
        raise UsageError(f"the URL must end before /v2, {_EXAMPLE}, found {url!r}; pass the model as an option")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"the URL of {host} must be scheme, host, port and path only, {_EXAMPLE}; pass a key as an option"
        )
    return f"{parts.scheme}{url[len(parts.scheme) :]}".rstrip("/")  # the scheme in lower case
