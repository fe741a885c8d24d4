"""Opens a bundle and runs its self-test in a child process; run this module with `python -m` and JSON.

A model can make an engine crash, hang or take all memory. In the child process that does not harm the server.
"""

import contextlib
import os
import signal
import statistics
import sys
import time
import timeit
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn import errors
from edgecnn.bundle.self_test import SelfTest
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError, EdgecnnError, EngineCrashed, EngineError, ProofFailed, UsageError
from edgecnn.files.schema import SchemaError, dump, parse
from edgecnn.host.child import last_line, signal_name
from edgecnn.host.child_call import ask_child, told_error
from edgecnn.host.lifeline import die_with_parent
from edgecnn.runtime.engines.backend import Session, SessionInfo, SessionOptions
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.replay import SelfTestResult, check_proof
from edgecnn.server.preflight.confinement import confine

TIMEOUT_S = 120.0
_RUNS = 3
_TOLD = (BundleError, EngineError, UsageError, ProofFailed)


@dataclass(frozen=True)
class Trial:
    """The result for a bundle that opens here and passes its self-test."""

    self_test: SelfTestResult
    session: SessionInfo
    concurrency: int  # runs at once that the session was opened for
    seconds: float  # to open and prove the bundle, without the start of the process
    run_ms: float  # of one image


@dataclass(frozen=True)
class _Question:
    path: Path
    digest: str | None
    backend: str
    options: SessionOptions
    strict: bool
    cache: bool
    max_batch: int
    timeout_s: float
    parent: int


@dataclass(frozen=True)
class _Answer:
    """Either a trial, or the name of an error class and its message."""

    trial: Trial | None = None
    error: str = ""
    message: str = ""


def try_bundle(
    path: Path,
    *,
    digest: str | None = None,
    backend: str = "auto",
    options: SessionOptions | None = None,
    strict: bool = False,
    cache: bool = False,
    max_batch: int = 1,
    timeout_s: float = TIMEOUT_S,
) -> Trial:
    """Open a bundle in a child process, replay its self-test and run its largest batch there; see also `open_session`.

    The child ends with the calling thread. With `digest`, a bundle that was replaced meanwhile is refused.

    Raises:
        BundleError: it is not intact.
        UsageError: there is no such engine or device.
        EngineCrashed: the engine crashed the child, or took too long.
        EngineError: the engine refused the graph, or there is too little memory.
        ProofFailed: the logits differ from those of the reference.
    """
    options = options or SessionOptions()
    question = _Question(path, digest, backend, options, strict, cache, max_batch, timeout_s, os.getpid())
    ended = ask_child("edgecnn.server.preflight.trial", question, timeout_s)
    if ended is None:
        raise EngineCrashed(f"the engine did not open and prove {path} within {timeout_s:g} s")
    if ended.code:
        name = signal_name(ended.code)
        if name is not None:
            raise EngineCrashed(f"the engine crashed with {name} while it opened {path}")
        said = last_line(ended.stderr) or "it said nothing"
        raise EngineCrashed(f"the engine ended with exit code {ended.code} while it opened {path}: {said}")
    try:
        answer = parse(_Answer, ended.stdout)
    except SchemaError as error:
        raise EngineCrashed(f"the trial of {path} gave an answer that cannot be read: {error}") from None
    if answer.trial is None:
        raise told_error(answer.error, answer.message, _TOLD)
    return answer.trial


def open_proven(
    bundle: Bundle, *, backend: str, options: SessionOptions, strict: bool, cache: bool
) -> tuple[Session, SelfTest, SelfTestResult]:
    """Open a bundle for throughput and replay its self-test; see `open_session` for the arguments.

    Returns:
        The session, which the caller closes; the self-test; and the result of replaying it.

    Raises:
        EngineError: the engine, device or precision is not available, or the engine refused the graph or failed.
        ProofFailed: the logits differ from those of the reference.
    """
    session = open_session(bundle, backend=backend, options=options, purpose="throughput", strict=strict, cache=cache)
    try:
        self_test, result = check_proof(bundle, session)
    except BaseException:
        session.close()
        raise
    return session, self_test, result


def _tried(question: _Question) -> Trial:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.EdgecnnWarning)  # who opens it to serve it is warned too
        bundle = open_bundle(question.path, digest=question.digest)
        session, _, self_test = open_proven(
            bundle,
            backend=question.backend,
            options=question.options,
            strict=question.strict,
            cache=question.cache,
        )
    with contextlib.closing(session):
        session.run(np.zeros((question.max_batch, *bundle.manifest.image_shape), np.uint8))
        seconds = time.perf_counter() - start
        return Trial(self_test, session.info, session.concurrency, seconds, _run_ms(bundle, session))


def _run_ms(bundle: Bundle, session: Session) -> float:
    """Return the median time of one image, after a first run."""
    image = np.zeros((1, *bundle.manifest.image_shape), np.uint8)
    session.run(image)
    return 1000 * statistics.median(timeit.repeat(lambda: session.run(image), repeat=_RUNS, number=1))


def _answered(question: _Question) -> _Answer:
    try:
        return _Answer(_tried(question))
    except MemoryError:
        return _Answer(None, EngineError.__name__, f"{question.path} needs more memory than there is here")
    except EdgecnnError as error:
        message = " ".join(str(error).split())
        if isinstance(error, EngineError) and str(question.path) not in message:  # it failed in a run
            message = f"{question.path}: {message}"
        return _Answer(None, type(error).__name__, message)


def main() -> None:
    """Answer the question on the command line, on stdout."""
    question = parse(_Question, sys.argv[1])
    die_with_parent(question.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this ends
    confine(device=question.options.device, timeout_s=question.timeout_s)
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # engines print; nothing but the answer may stand in it
    found = dump(_answered(question))
    with os.fdopen(answer, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(found)
    os._exit(0)  # an engine that crashes while it is torn down has done its work


if __name__ == "__main__":
    main()
