"""Find the images that crash the worker, and refuse them.

A file that was being decoded when an earlier worker crashed is decoded alone. If the worker crashes again, the
supervisor has proof; otherwise the file is not a suspect any more.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterable, Iterator

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.decoding_record import DIGEST_BYTES, DecodingRecord


class DecodingGuard:
    """Records each image that is decoded. Callable from any thread."""

    def __init__(self, record: DecodingRecord, *, suspected: Iterable[str] = (), refused: Iterable[str] = ()) -> None:
        """Create a guard. `suspected` and `refused` are digests that `supervisor.suspects` counted."""
        self._record = record
        self._suspected = {bytes.fromhex(each) for each in suspected}
        self._refused = {bytes.fromhex(each) for each in refused}
        self._decoding = 0  # number of other images, counted while there are suspects
        self._waiting = 0  # number of suspects that wait
        self._turn = threading.Condition()

    @contextlib.contextmanager
    def decoding(self, file: bytes) -> Iterator[None]:
        """Record a file while it is decoded; a suspect waits until it is alone.

        Raises:
            Refusal: the file ended the worker twice.
        """
        digest = hashlib.blake2b(file, digest_size=DIGEST_BYTES).digest()
        if digest in self._refused:
            raise Refusal("invalid", "this image ended the worker twice: it is refused while the server runs")
        with self._alone(digest) if digest in self._suspected else self._beside_others(digest):
            yield

    @contextlib.contextmanager
    def _alone(self, digest: bytes) -> Iterator[None]:
        with self._turn:  # held while the image is decoded
            self._waiting += 1
            try:
                self._turn.wait_for(lambda: not self._decoding)
            finally:
                self._waiting -= 1
                self._turn.notify_all()
            with self._record.decoding(digest, alone=True):
                yield
            self._suspected.discard(digest)

    @contextlib.contextmanager
    def _beside_others(self, digest: bytes) -> Iterator[None]:
        is_counted = bool(self._suspected)
        if is_counted:
            with self._turn:
                self._turn.wait_for(lambda: not self._waiting)
                self._decoding += 1
        try:
            with self._record.decoding(digest, alone=False):
                yield
        finally:
            if is_counted:
                with self._turn:
                    self._decoding -= 1
                    self._turn.notify_all()
