"""The images that were being decoded when a worker crashed.

After its first crash an image is a suspect: the next worker decodes it alone. If the worker crashes again meanwhile,
this image is the cause, and later workers refuse it. The lists are forgotten when the server ends.
"""

import logging
from collections.abc import Sequence

_MOST = 1000
"""Maximum images in each list; the oldest is dropped."""

log = logging.getLogger("edgecnn.server")


class Suspects:
    """Digests of images, in hexadecimal.

    Attributes:
        suspected: images of one crash, to be decoded alone.
        refused: images that ended the worker twice.
    """

    def __init__(self) -> None:
        self.suspected: dict[str, None] = {}  # in the order of their crashes
        self.refused: dict[str, None] = {}

    def crashed(self, found: Sequence[tuple[bytes, bool]]) -> None:
        """Add the images of a crash: each digest, and whether it was decoded alone."""
        for digest, was_alone in found:
            name = digest.hex()
            if was_alone:
                self.suspected.pop(name, None)
                _add(self.refused, name)
                log.warning("an image ended the worker twice: it is refused from now on", extra={"blake2b": name})
            else:
                _add(self.suspected, name)


def _add(names: dict[str, None], name: str) -> None:
    names.pop(name, None)
    names[name] = None
    if len(names) > _MOST:
        del names[next(iter(names))]
