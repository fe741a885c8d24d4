"""The certificate, private key and API key of a server, read again when their files change.

`Credentials.watch` reads the files every second, through symbolic links, as Kubernetes and cert-manager replace them.
New content takes effect if it is valid and the same in two reads. Otherwise the previous content stays in use, and the
log contains one warning for each change. On Linux the previous content outlives a crash of the process: it is in
anonymous files of the parent process.
"""

import contextlib
import logging
import math
import os
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgecnn.errors import UsageError
from edgecnn.protocol.api_key import read_api_key
from edgecnn.server.tls import expires_at, server_context

_POLL_S = 1.0
_DAY_S = 86400.0
_EXPIRY_WARNING_S = 14 * _DAY_S
_LARGEST_FILE = 1 << 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tls:
    """A certificate with its private key.

    Attributes:
        version: number of the pair; each pair that takes effect has a higher one.
        chain: the certificate and its chain in PEM.
        key: the private key in PEM.
        context: for connections over HTTP.
        expires_at: when the certificate expires, in seconds since 1970; NaN if it cannot be read.
    """

    version: int
    chain: bytes
    key: bytes
    context: ssl.SSLContext
    expires_at: float


class Credentials:
    """The current credentials. `tls` and `api_key` are replaced as a whole, so any thread may read them.

    Attributes:
        tls: the certificate with its private key; None without TLS.
        api_key: the API key; None without one.
        reloads: number of changes that took effect.
        failures: number of changes that were refused.
    """

    def __init__(
        self,
        tls: tuple[Path, Path] | None,
        api_key_file: Path | None,
        *,
        saved_tls_fd: int | None = None,
        saved_key_fd: int | None = None,
    ) -> None:
        """Read the files.

        Args:
            tls: the files of the certificate chain and of the private key, in PEM.
            api_key_file: the file of the API key.
            saved_tls_fd: anonymous file for the previous certificate and private key, empty at the first start.
            saved_key_fd: anonymous file for the previous API key.

        Raises:
            UsageError: a file cannot be read or is not valid, and no previous content is saved.
        """
        self.tls: Tls | None = None
        self.api_key: bytes | None = None
        self.reloads = self.failures = 0
        self._asked = threading.Event()
        self._warned_at = -math.inf
        self._tls_files = None if tls is None else _Files(tls, saved_tls_fd)
        self._key_file = None if api_key_file is None else _Files((api_key_file,), saved_key_fd)
        self._begin(self._tls_files, self._take_tls)
        self._begin(self._key_file, self._take_key)

    def expires_at(self) -> float:
        """Return when the certificate expires, in seconds since 1970; NaN if that is unknown."""
        return math.nan if self.tls is None else self.tls.expires_at

    def ask(self) -> None:
        """Let `watch` read the files at once; callable from any thread."""
        self._asked.set()

    def watch(self, changed: Callable[[], object], answered: Callable[[], None]) -> None:
        """Read changed files, forever, in the current thread.

        Args:
            changed: called after each change that took effect.
            answered: called after each read that `ask` started.
        """
        while True:
            self._warn_of_expiry()
            is_asked = self._asked.wait(_POLL_S)
            self._asked.clear()
            self._update(self._tls_files, self._take_tls, changed, at_once=is_asked)
            self._update(self._key_file, self._take_key, changed, at_once=is_asked)
            if is_asked:
                logger.info("the files of certificate and keys were read again")
                answered()

    def _begin(self, files: "_Files | None", take: Callable[["_Files"], None]) -> None:
        if files is None:
            return
        try:
            take(files)
        except UsageError as error:
            saved = files.saved()
            if saved is None:
                raise
            take(saved)
            self._refuse(error)
        else:
            files.save()

    def _update(
        self, files: "_Files | None", take: Callable[["_Files"], None], changed: Callable[[], object], *, at_once: bool
    ) -> None:
        if files is None or not files.have_changed(at_once=at_once):
            return
        try:
            take(files)
        except UsageError as error:
            self._refuse(error)
        else:
            files.save()
            self.reloads += 1
            logger.info("changed files take effect", extra={"files": ", ".join(map(str, files.paths))})
            changed()

    def _refuse(self, error: UsageError) -> None:
        self.failures += 1
        logger.warning("%s; the previous content stays in use", error)

    def _take_tls(self, files: "_Files") -> None:
        context = server_context(*files.paths)
        files.check_unchanged()
        chain, key = files.contents
        end = math.nan
        with contextlib.suppress(ValueError):
            end = expires_at(chain)
        self.tls = Tls(self.tls.version + 1 if self.tls else 1, chain, key, context, end)
        self._warned_at = -math.inf

    def _take_key(self, files: "_Files") -> None:
        key = read_api_key(*files.paths)
        files.check_unchanged()
        self.api_key = key

    def _warn_of_expiry(self) -> None:
        """Warn once a day of a certificate that expires soon or has expired."""
        now = time.monotonic()
        if self.tls is None or now < self._warned_at + _DAY_S:
            return
        left_s = self.tls.expires_at - time.time()
        if left_s < _EXPIRY_WARNING_S:
            self._warned_at = now
            what = f"expires in {left_s / _DAY_S:.1f} days" if left_s > 0 else "has expired: clients refuse it"
            logger.warning("the TLS certificate %s", what, extra={"expires": _date(self.tls.expires_at)})


class _Files:
    """Files that are valid together.

    Attributes:
        contents: content of each file at the last read; empty for a file that cannot be read.
    """

    def __init__(self, paths: tuple[Path, ...], saved_fd: int | None) -> None:
        self.paths, self._saved_fd = paths, saved_fd
        self.contents = self._tried = self._read()

    def have_changed(self, *, at_once: bool) -> bool:
        """Read the files; return whether they have content that was not tried before.

        Without `at_once`, the content must also be the same as at the previous read: a program may still write it.
        """
        before, self.contents = self.contents, self._read()
        if self.contents == self._tried or not (at_once or self.contents == before):
            return False
        self._tried = self.contents
        return True

    def check_unchanged(self) -> None:
        """Check that the files still have the content of the last read.

        Raises:
            UsageError: a file has changed.
        """
        if self._read() != self.contents:
            raise UsageError(f"{' or '.join(map(str, self.paths))} changed while it was read")

    def save(self) -> None:
        """Save the content for the next process."""
        if self._saved_fd is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._saved_fd, 0)
                os.pwrite(self._saved_fd, b"\n".join(self.contents), 0)

    def saved(self) -> "_Files | None":
        """Return the saved content: one file that takes the place of all."""
        if self._saved_fd is None or not os.fstat(self._saved_fd).st_size:
            return None
        return _Files((Path(f"/proc/self/fd/{self._saved_fd}"),) * len(self.paths), None)

    def _read(self) -> tuple[bytes, ...]:
        return tuple(map(_content, self.paths))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE)
    except OSError:  # the function that takes the content reports it
        return b""


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
