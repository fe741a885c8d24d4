"""Verify a bundle's signature in a child process: `python -m edgecnn.server.preflight.signature_check JSON`.

The signature library takes 50 MB, which a server would never release, and the bundle is untrusted.
"""

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import BundleError, EdgecnnError, SignatureError, UsageError
from edgecnn.files.schema import SchemaError, dump, parse
from edgecnn.host.child import last_line
from edgecnn.host.child_call import ask_child, told_error
from edgecnn.host.confinement import confine
from edgecnn.host.lifeline import die_with_parent
from edgecnn.host.resources import memory_limit

_KEY_TIMEOUT_S = 60.0
_EXPECTED_ERRORS = (BundleError, SignatureError, UsageError)


@dataclass(frozen=True)
class _CheckRequest:
    """The bundle and key to check; without a path, only the key."""

    path: Path | None
    key: Path
    timeout_s: float
    parent: int


@dataclass(frozen=True)
class _CheckResult:
    """The signed digest, or the name of an error class and its message."""

    digest: str = ""
    error: str = ""
    message: str = ""


def check_key(key: Path) -> None:
    """Check that a file contains a public key for bundle signatures.

    Raises:
        UsageError: the file cannot be read or contains no such key.
    """
    _ask(_CheckRequest(None, key, _KEY_TIMEOUT_S, os.getpid()))


def check_signature(path: Path, *, key: Path, timeout_s: float) -> str:
    """Check that a key signed a bundle, and return the signed digest; the child ends with the calling thread.

    Raises:
        BundleError: the bundle does not exist.
        SignatureError: the key did not sign the bundle, the bundle changed, or the key cannot be read.
    """
    try:
        return _ask(_CheckRequest(path, key, timeout_s, os.getpid()))
    except UsageError as error:  # the key was valid when the server started
        raise SignatureError(f"the signature of {path} cannot be checked: {error}") from None


def _ask(question: _CheckRequest) -> str:
    what = f"the signature of {question.path}" if question.path else f"the key {question.key}"
    ended = ask_child("edgecnn.server.preflight.signature_check", question, question.timeout_s)
    if ended is None:
        raise SignatureError(f"timeout: {what} was not checked within {question.timeout_s:g} s")
    try:
        answer = parse(_CheckResult, ended.stdout)
    except SchemaError:
        said = last_line(ended.stderr) or f"its process ended with exit code {ended.code}"
        raise SignatureError(f"{what} could not be checked: {said}") from None
    if answer.error:
        raise told_error(answer.error, answer.message, _EXPECTED_ERRORS)
    return answer.digest


def _answered(question: _CheckRequest) -> _CheckResult:
    from edgecnn.archive.keys import read_public_key

    try:
        if question.path is None:
            read_public_key(question.key)
            return _CheckResult()
        from edgecnn.archive.openssf import verify_signature

        return _CheckResult(verify_signature(question.path, key=question.key))
    except EdgecnnError as error:
        return _CheckResult(error=type(error).__name__, message=" ".join(str(error).split()))


def main() -> None:
    """Run the check from the command line, and write the answer to stdout."""
    question = parse(_CheckRequest, sys.argv[1])
    die_with_parent(question.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops this process
    confine(timeout_s=question.timeout_s, memory_bytes=memory_limit())
    with contextlib.redirect_stdout(sys.stderr):  # stdout contains only the answer
        found = dump(_answered(question))
    sys.stdout.write(found)


if __name__ == "__main__":
    main()
