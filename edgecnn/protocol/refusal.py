"""The error that the server returns for a request."""

from typing import Literal

Reason = Literal[
    "invalid",
    "unauthorized",
    "forbidden",
    "not_found",
    "method",
    "slow",
    "too_large",
    "unsupported",
    "busy",
    "unready",
    "late",
    "engine",
]
"""Reasons by which metrics count failures; each has an HTTP status."""

STATUS: dict[Reason, int] = {
    "invalid": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method": 405,
    "slow": 408,
    "too_large": 413,
    "unsupported": 415,
    "busy": 503,
    "unready": 503,
    "late": 504,
    "engine": 500,
}


RETRY_AFTER_S = 1
"""Value of `Retry-After` for temporary errors, in seconds."""


class Refusal(Exception):
    """An error that is returned to the client.

    Attributes:
        reason: for metrics, and for the status.
        headers: additional HTTP headers.
    """

    def __init__(self, reason: Reason, message: str, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.headers = headers

    @property
    def status(self) -> int:
        """HTTP status code."""
        return STATUS[self.reason]

    @property
    def retry_after_s(self) -> int | None:
        """Seconds after which the request may be repeated; None for a permanent error."""
        return RETRY_AFTER_S if self.reason in {"busy", "unready"} else None
