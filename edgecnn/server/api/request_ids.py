"""The id under which a request is answered and logged: the client's own where it is harmless, else one of ours."""

import itertools
import os

_LONGEST = 128


class RequestIds:
    """The ids of one server; its own are told from those of other processes by how they begin."""

    def __init__(self) -> None:
        prefix = os.urandom(6).hex()
        self._own = (f"{prefix}-{number}" for number in itertools.count(1))

    def of(self, shown: str) -> str:
        """Return the id of a request.

        Args:
            shown: by its client, or nothing; kept where it is short and printable ASCII.
        """
        is_plain = 0 < len(shown) <= _LONGEST and shown.isascii() and shown.isprintable()
        return shown if is_plain else next(self._own)
