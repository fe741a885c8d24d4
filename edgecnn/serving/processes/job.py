"""What the supervisor hands to a worker, and the two words that a worker says back."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle import schema
from edgecnn.serving.catalogue import Source
from edgecnn.serving.options import ServeOptions

STALLED = 70
"""Exit code of a worker whose engine does not come back from a run: it is started again."""

BROKEN = 71
"""Exit code of a worker whose engine has died, or that a bug of ours has ended: it is started again as well."""

CANNOT_SERVE = frozenset({1, 2, 3})
"""Exit codes of a worker that has said on stderr why it cannot serve at all: it is not started again."""


@dataclass(frozen=True)
class WorkerJob:
    """What a worker does.

    Attributes:
        sources: what it serves from the start.
        roots: where models may be found that are loaded later.
        options: how.
        socket_fd: descriptor of the socket that listens, shared with the other workers.
        grpc_address: to listen on for gRPC, with its port; None for no gRPC.
        ready_fd: descriptor for `say_accepting` and `say_ready`.
        number: of this worker, from 0; one that is started again keeps it.
        cores: how many it may keep busy.
        supervisor_pid: the process that must be its parent.
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


def job_text(job: WorkerJob) -> str:
    """Write a job as a worker's command line bears it."""
    return json.dumps(schema.plain(job))


def read_job() -> WorkerJob:
    """Read this worker's job from its command line."""
    return schema.parse(WorkerJob, sys.argv[1])


def say_accepting(job: WorkerJob) -> None:
    """Tell the supervisor, once, that a first model is served: from now on this process may owe answers."""
    os.write(job.ready_fd, b" ")


def say_ready(job: WorkerJob, names: Sequence[str], *, refused: Sequence[str] = ()) -> None:
    """Tell the supervisor, once, that these models are served from now on, and which of them could not be."""
    content = f"{', '.join(names)}\t{', '.join(refused)}\n".encode()
    while content:
        content = content[os.write(job.ready_fd, content) :]
    os.close(job.ready_fd)
