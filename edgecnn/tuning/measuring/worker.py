"""The process that runs one candidate: `python -m edgecnn.tuning.measuring.worker`.

Each candidate has its own process, so that a crash affects no other one and its memory can be measured. The process
reads commands as lines of JSON from stdin, and writes answers to stdout. It ends when stdin closes.
"""

import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import EdgecnnError
from edgecnn.files import schema
from edgecnn.host.huge_pages import on_huge_pages_bytes
from edgecnn.runtime.engines.engine import Session, SessionInfo
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.verification.replay import replay
from edgecnn.tuning.measuring.steady import warm_up
from edgecnn.tuning.measuring.turn import InProcess


@dataclass(frozen=True)
class Opened:
    """An opened candidate: its session, the seconds for reading, checking and opening it, and warnings."""

    session: SessionInfo
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """What a worker measures: a session, one batch uint8 [N, H, W, C], and the bundle, for its self-test."""

    session: Session
    images: np.ndarray
    bundle: Bundle | None = None


@dataclass(frozen=True)
class Memory:
    """The memory of a process.

    Attributes:
        resident_bytes: memory of the whole process.
        huge_page_bytes: the part of it on huge pages; None if the system does not report it.
    """

    resident_bytes: int
    huge_page_bytes: int | None = None


Opener = Callable[[Path, Setting], Subject]


def serve(opener: Opener) -> None:
    """Open the candidate that the command line names, and run commands from stdin until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it too, and ends this process
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines print to stdout; keep it free for answers
    path, setting = Path(sys.argv[1]), schema.parse(Setting, sys.argv[2])
    given = _read_images(Path(sys.argv[3])) if len(sys.argv) > 3 else None
    try:
        subject, opened = _open(path, setting, opener)
        measured = _Measured(subject, given, setting.batch)
        _say(answers, opened)
        for command in sys.stdin:
            _say(answers, measured.do(json.loads(command)))
    except EdgecnnError as error:
        _say(answers, {"error": str(error)})


def self_test_batch(bundle: Bundle, batch: int) -> np.ndarray:
    """Return one batch of the bundle's self-test images, uint8 [batch, H, W, C]."""
    return np.resize(bundle.self_test().images, (batch, *bundle.manifest.image_shape))


def _read_images(path: Path) -> np.ndarray:
    """Map the file, which all processes share. Writable, because some engines reject other arrays; nothing writes."""
    images = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    images.max()  # reads every page, so that no run waits for the disk and all pages count as resident
    return images


def _open(path: Path, setting: Setting, opener: Opener) -> tuple[Subject, Opened]:
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        subject = opener(path, setting)
    notes = tuple(str(warning.message) for warning in caught)
    return subject, Opened(subject.session.info, time.perf_counter() - start, notes)


class _Measured:
    """An opened candidate that answers commands. The user's images, uint8 [N, H, W, C], replace the subject's."""

    def __init__(self, subject: Subject, given: np.ndarray | None, batch: int) -> None:
        self._subject = subject
        self._given_bytes = 0 if given is None else given.nbytes
        self._runner = (
            InProcess(subject.session, subject.images)
            if given is None
            else InProcess(subject.session, given, batch=batch)
        )

    def do(self, command: dict[str, Any]) -> Any:
        subject, runner = self._subject, self._runner
        name, limit = next(iter(command.items()))
        if name == "warm_up":
            return warm_up(runner.run, limit_s=limit)
        if name == "turn":
            return runner.turn(limit)
        if name == "replay" and subject.bundle is not None:
            manifest = subject.bundle.manifest
            return replay(subject.bundle.self_test(), subject.session, manifest.preprocessing, manifest.scores)
        return Memory(max(0, _resident_bytes() - self._given_bytes), on_huge_pages_bytes())


def _resident_bytes() -> int:
    """Return the current memory of this process, or its peak if the system reports only that."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _say(answers: TextIO, answer: Any) -> None:
    answers.write(json.dumps(schema.plain(answer)) + "\n")
    answers.flush()


def _bundle(path: Path, setting: Setting) -> Subject:
    bundle = open_bundle(path)
    session = open_session(bundle, engine=setting.engine, options=setting.options)
    return Subject(session, self_test_batch(bundle, setting.batch), bundle)


if __name__ == "__main__":
    serve(_bundle)
