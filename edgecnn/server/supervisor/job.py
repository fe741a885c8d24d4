"""What the supervisor hands to a worker, and what a worker says back: a line of JSON each time."""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.files import schema
from edgecnn.server.models.catalogue import Held, Source
from edgecnn.server.options import ServeOptions

STALLED = 70
"""Exit code of a worker whose engine does not come back from a run: it is started again."""

BROKEN = 71
"""Exit code of a worker whose engine has died, or that a bug of ours has ended: it is started again as well."""

CANNOT_SERVE = frozenset({1, 2, 3})
"""Exit codes of a worker that has said on stderr why it cannot serve at all: it is not started again."""


_SPEAKING = threading.Lock()
"""Lines come from several threads; a long one is written in parts."""


@dataclass(frozen=True)
class Notice:
    """What a worker says of itself; nothing but that it may owe answers now, where all is empty.

    Attributes:
        held: what is to be remembered of a model; such a notice says nothing else.
        served: names of the models that are served, once all that was to be has been tried; None before.
        refused: names of those that could not be, then.
    """

    held: Held | None = None
    served: tuple[str, ...] | None = None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkerJob:
    """What a worker does.

    Attributes:
        sources: what it serves from the start.
        roots: where models may be found that are loaded later.
        options: how.
        socket_fd: descriptor of the socket that listens, shared with the other workers.
        grpc_address: to listen on for gRPC, with its port; None for no gRPC.
        ready_fd: descriptor for `say_accepting`, `say_ready` and `say_held`.
        number: of this worker, from 0; one that is started again keeps it.
        cores: how many it may keep busy.
        supervisor_pid: the process that must be its parent.
        held: what workers before this one have said of models.
    """

    sources: tuple[Source, ...]
    roots: tuple[Path, ...]
    options: ServeOptions
    socket_fd: int
    grpc_address: str | None
    ready_fd: int
    number: int
    cores: int
    supervisor_pid: int
    held: tuple[Held, ...] = ()


def job_text(job: WorkerJob) -> str:
    """Write a job as a worker's command line bears it."""
    return json.dumps(schema.plain(job))


def read_job() -> WorkerJob:
    """Read this worker's job from its command line."""
    return schema.parse(WorkerJob, sys.argv[1])


def say_accepting(job: WorkerJob) -> None:
    """Tell the supervisor, once, that a first model is served: from now on this process may owe answers."""
    _say(job, Notice())


def say_ready(job: WorkerJob, names: Sequence[str], *, refused: Sequence[str] = ()) -> None:
    """Tell the supervisor, once, that these models are served from now on, and which of them could not be."""
    _say(job, Notice(served=tuple(names), refused=tuple(refused)))


def say_held(job: WorkerJob, held: Held) -> None:
    """Tell the supervisor what the next worker must know of a model; any thread may."""
    _say(job, Notice(held=held))


def _say(job: WorkerJob, notice: Notice) -> None:
    content = json.dumps(schema.plain(notice)).encode() + b"\n"
    with _SPEAKING, contextlib.suppress(BrokenPipeError):  # the supervisor has gone: this process is about to end
        while content:
            content = content[os.write(job.ready_fd, content) :]
