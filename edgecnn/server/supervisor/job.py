"""The job that the supervisor passes to the worker, and the worker's notices to it: one line of JSON each."""

import contextlib
import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from edgecnn.files import schema
from edgecnn.server.models.catalogue import Handoff, Source
from edgecnn.server.options import ServeOptions

STALLED = 70
"""Exit code of a worker whose engine does not return from a run; the supervisor restarts it."""

BROKEN = 71
"""Exit code of a worker after the engine died or a bug; the supervisor restarts it."""

CANNOT_SERVE = frozenset({1, 2, 3})
"""Exit codes of a worker that cannot serve and logged the reason; it is not restarted."""

HEARTBEAT_S = 1.0
"""Time between two heartbeats of the worker's event loop."""

HEARTBEAT = b"\0"
"""The only content of the pipe of heartbeats, except for the stack that the worker writes after `STACK_SIGNAL`."""

STACK_SIGNAL = getattr(signal, "SIGUSR1", None)
"""Makes an accepting worker write the stack of its main thread to the pipe of heartbeats; None on Windows."""

_WRITING = threading.Lock()
"""Several threads write lines, and a long line needs several writes."""


@dataclass(frozen=True)
class Notice:
    """A notice of the worker to the supervisor. Without a field: the worker accepts requests."""

    handoff: Handoff | None = None  # the state of one model for the next worker; such a notice has no other field
    served: tuple[str, ...] | None = None  # names, after all models have been tried
    refused: tuple[str, ...] = ()  # names of the models that could not be served
    reloaded: bool = False  # the files of certificate and keys were read again; such a notice has no other field


@dataclass(frozen=True)
class WorkerJob:
    """Input of the worker."""

    sources: tuple[Source, ...]  # models that it serves from the start
    roots: tuple[Path, ...]  # folders in which models may be found later
    options: ServeOptions
    socket_fd: int  # the listening socket
    grpc_address: str | None  # with its port; None without gRPC
    supervisor_pid: int
    ready_fd: int = -1  # for `say`
    heartbeat_fd: int = -1  # for heartbeats, from the time at which the worker accepts requests
    saved_tls_fd: int | None = None  # for `Credentials`
    saved_key_fd: int | None = None
    record_fd: int | None = None  # of the `DecodingRecord`
    suspected: tuple[str, ...] = ()  # digests of images that were being decoded when a worker crashed
    refused: tuple[str, ...] = ()  # digests of images that ended the worker twice
    handoffs: tuple[Handoff, ...] = ()  # what earlier workers have reported


def read_job() -> WorkerJob:
    """Read the job from this process's command line."""
    return schema.parse(WorkerJob, sys.argv[1])


def say(job: WorkerJob, notice: Notice) -> None:
    """Send a notice to the supervisor; callable from any thread but the event loop's, because it may wait."""
    content = json.dumps(schema.plain(notice)).encode() + b"\n"
    with _WRITING, contextlib.suppress(BrokenPipeError):  # the supervisor has ended, and this process ends soon
        while content:
            content = content[os.write(job.ready_fd, content) :]
