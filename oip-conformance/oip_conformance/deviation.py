"""Exceptions that end a case that does not pass."""


class Deviation(Exception):
    """The server does not do what the case expects.

    Attributes:
        expected: what it must do.
        found: what it did.
    """

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


class NotApplicable(Exception):
    """The case does not apply to this server or model; the text gives the reason."""
