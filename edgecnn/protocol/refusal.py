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


RETRY_AFTER_S = 1
"""When clients may ask again that were refused for a while only."""


class Refusal(Exception):  # it is an answer
    """A request that gets no result.

    Attributes:
        reason: for metrics, and for the status.
        headers: of HTTP, beside those that every answer has and those that its reason has.
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
        """When the same request may be sent again; None where that would change nothing."""
        return RETRY_AFTER_S if self.reason in {"busy", "unready"} else None
