"""A session that leaves most of the time to other work, for a self-test while requests are answered."""

import time

import numpy as np

from edgecnn.runtime.engines.engine import Session, deliver

_SHARE = 0.2
"""Part of the time in which the engine runs."""


class PacedSession:
    """Runs a session image by image, with a pause after each. Closing it is up to the owner of the session."""

    instances = 1

    def __init__(self, session: Session) -> None:
        self.info = session.info
        self._session = session

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """See `Session.run`."""
        parts = []
        for number in range(len(images)):
            start = time.perf_counter()
            parts.append(self._session.run(images[number : number + 1]))
            time.sleep((time.perf_counter() - start) * (1 / _SHARE - 1))
        return deliver(np.concatenate(parts), out)

    def close(self) -> None:
        """See `Session.close`; the owner of the session closes it."""
