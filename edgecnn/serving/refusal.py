"""Why a request is answered with an error."""

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
"""What metrics count failures by; the HTTP status says the same to the client."""

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


RETRY = (("Retry-After", "1"),)
"""Headers of a refusal that may not be one in a second."""


class Refusal(Exception):  # it is an answer
    """A request that gets no result.

    Attributes:
        reason: for metrics, and for the status.
        headers: beside those that every answer has, such as `Allow` or `Retry-After`.
    """

    def __init__(self, reason: Reason, message: str, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.headers = headers

    @property
    def status(self) -> int:
        """HTTP status code."""
        return STATUS[self.reason]
