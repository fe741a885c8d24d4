"""Open a bundle and run its self-test in a child process: `python -m edgecnn.server.preflight.trial JSON`.

A graph can make an engine crash, hang or use all memory. In a child process, this does not affect the server.
"""

import contextlib
import os
import signal
import sys
import time
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
from edgecnn.host.confinement import confine
from edgecnn.host.lifeline import die_with_parent
from edgecnn.host.resources import memory_limit
from edgecnn.runtime.cascade import sessions_of
from edgecnn.runtime.engines.engine import Session, SessionInfo, SessionOptions, device_kind
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.replay import SelfTestResult, check_proof
from edgecnn.server.preflight.paced_session import PacedSession

TIMEOUT_S = 120.0
BACKGROUND_PATIENCE = 5
"""How many times as long a trial in the background may take."""
_NICENESS = 10
"""Priority of a trial in the background. On busy cores it gets about a tenth of the time of another process; with the
lowest priority, 19, it gets a sixtieth, and a server under full load would never finish a trial."""
_EXPECTED_ERRORS = (BundleError, EngineError, UsageError, ProofFailed)


@dataclass(frozen=True)
class Preflight:
    """The result for a bundle that opens and passes its self-test on this machine."""

    self_test: SelfTestResult
    session: SessionInfo
    instances: int  # maximum parallel runs of the session
    seconds: float  # time to open and verify the bundle, without the process start


@dataclass(frozen=True)
class _TrialRequest:
    path: Path
    digest: str | None
    engine: str
    options: SessionOptions
    strict: bool
    cache: bool
    max_batch: int
    timeout_s: float
    parent: int


@dataclass(frozen=True)
class _TrialResult:
    """A trial, or the name of an error class and its message."""

    trial: Preflight | None = None
    error: str = ""
    message: str = ""


def try_bundle(
    path: Path,
    *,
    digest: str | None = None,
    engine: str = "auto",
    options: SessionOptions | None = None,
    strict: bool = False,
    cache: bool = False,
    max_batch: int = 1,
    timeout_s: float = TIMEOUT_S,
    in_background: bool = False,
) -> Preflight:
    """Open a bundle in a child process, replay its self-test, and run the largest batch; see also `open_session`.

    The child ends with the calling thread. With `digest`, a bundle with another digest is refused. With
    `in_background`, other processes compute first, and the time limit is `BACKGROUND_PATIENCE` times as long.

    Raises:
        BundleError: the bundle is not intact.
        UsageError: the engine or device is unknown.
        EngineCrashed: the engine crashed or exceeded the timeout.
        EngineError: the engine refused the graph, or memory is not sufficient.
        ProofFailed: the logits differ from the reference's.
    """
    options = options or SessionOptions()
    question = _TrialRequest(path, digest, engine, options, strict, cache, max_batch, timeout_s, os.getpid())
    timeout_s *= BACKGROUND_PATIENCE if in_background else 1
    niceness = _NICENESS if in_background else 0
    ended = ask_child("edgecnn.server.preflight.trial", question, timeout_s, niceness=niceness)
    if ended is None:
        raise EngineCrashed(f"timeout: the engine did not open and verify {path} within {timeout_s:g} s")
    if ended.code:
        name = signal_name(ended.code)
        if name is not None:
            raise EngineCrashed(f"the engine crashed with {name} while opening {path}")
        said = last_line(ended.stderr) or "no error output"
        raise EngineCrashed(f"the engine exited with code {ended.code} while opening {path}: {said}")
    try:
        answer = parse(_TrialResult, ended.stdout)
    except SchemaError as error:
        raise EngineCrashed(f"cannot parse the result of the trial of {path}: {error}") from None
    if answer.trial is None:
        raise told_error(answer.error, answer.message, _EXPECTED_ERRORS)
    return answer.trial


def open_proven(
    bundle: Bundle,
    *,
    engine: str,
    options: SessionOptions,
    strict: bool,
    cache: bool,
    in_background: bool = False,
) -> tuple[Session, SelfTest, SelfTestResult]:
    """Open a bundle for throughput and replay its self-test; see `open_session` for the arguments.

    With `in_background`, the self-test runs image by image, with pauses.

    Returns:
        The session, which the caller closes; the self-test; and its result.

    Raises:
        EngineError: the engine, device or precision is not available, or the engine refused the graph or failed.
        ProofFailed: the logits differ from the reference's.
    """
    session = open_session(bundle, engine=engine, options=options, purpose="throughput", strict=strict, cache=cache)
    try:
        self_test, result = check_proof(bundle, PacedSession(session) if in_background else session)
    except BaseException:
        session.close()
        raise
    return session, self_test, result


def _tried(question: _TrialRequest) -> Preflight:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.EdgecnnWarning)  # the server repeats the warning
        bundle = open_bundle(question.path, digest=question.digest)
        session, _, self_test = open_proven(
            bundle,
            engine=question.engine,
            options=question.options,
            strict=question.strict,
            cache=question.cache,
        )
    with contextlib.closing(session):
        largest = np.zeros((question.max_batch, *bundle.manifest.image_shape), np.uint8)
        for each in sessions_of(session):  # all images of a batch may need the accurate graph of a cascade
            each.run(largest)
        return Preflight(self_test, session.info, session.instances, time.perf_counter() - start)


def _answered(question: _TrialRequest) -> _TrialResult:
    try:
        return _TrialResult(_tried(question))
    except MemoryError:
        return _TrialResult(None, EngineError.__name__, f"{question.path} needs more memory than is available")
    except EdgecnnError as error:
        message = " ".join(str(error).split())
        if isinstance(error, EngineError) and str(question.path) not in message:  # from a run
            message = f"{question.path}: {message}"
        return _TrialResult(None, type(error).__name__, message)


def main() -> None:
    """Run the trial from the command line, and write the answer to stdout."""
    question = parse(_TrialRequest, sys.argv[1])
    die_with_parent(question.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops this process
    is_cpu = device_kind(question.options.device) == "cpu"
    confine(timeout_s=question.timeout_s, memory_bytes=memory_limit() if is_cpu else None)
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # engines print to stdout, which must contain only the answer
    found = dump(_answered(question))
    with os.fdopen(answer, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(found)
    os._exit(0)  # skip the engine's cleanup, which may crash


if __name__ == "__main__":
    main()
