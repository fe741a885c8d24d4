"""How a case ends that does not pass: raised by whatever looks at an answer, told by the suite."""


class Deviation(Exception):
    """The server does something else.

    Attributes:
        expected: what it should do.
        found: what it did.
    """

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


class NotApplicable(Exception):
    """The case has no meaning for this server or model; the text says why."""
