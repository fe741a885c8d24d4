"""How workers are started, and what is handed on from one that has crashed to the next."""

import os
import socket
import subprocess
from pathlib import Path

from edgecnn.host.child import child_command, child_environment
from edgecnn.server.models.catalogue import Held, Source
from edgecnn.server.options import ServeOptions
from edgecnn.server.supervisor.job import WorkerJob, job_text
from edgecnn.server.supervisor.listening import Reserved
from edgecnn.server.supervisor.metrics_folder import VARIABLE, MetricsFolder
from edgecnn.server.supervisor.notifying import OWN_VARIABLES


class Launcher:
    """Starts the processes of workers, and hands each what those before it have left."""

    def __init__(
        self,
        module: str,
        *,
        sources: tuple[Source, ...],
        roots: tuple[Path, ...],
        options: ServeOptions,
        cores: int,
        listener: socket.socket,
        grpc: Reserved | None,
        metrics: MetricsFolder | None,
    ) -> None:
        """Describe what all workers have in common.

        Args:
            module: what a worker runs.
            sources: what it serves from the start.
            roots: where models may be found that are loaded later.
            options: how.
            cores: how many each may keep busy.
            listener: the socket that they share.
            grpc: the port that they bind for gRPC, if any.
            metrics: where several add up their metrics.
        """
        self._module, self._options, self._cores = module, options, cores
        self._sources, self._roots = sources, roots
        self._held: dict[str, Held] = {}
        self._listener = listener
        self._grpc_address = None if grpc is None else grpc.address
        foreign = {VARIABLE, *OWN_VARIABLES}
        self._environment = {key: value for key, value in child_environment().items() if key not in foreign}
        if metrics is not None:
            self._environment[VARIABLE] = str(metrics.path)

    def remember(self, held: Held) -> None:
        """Keep what the next worker must know of a model: from whichever worker, since all serve the same."""
        self._held[held.name] = held

    def launch(self, number: int, ready_fd: int) -> "subprocess.Popen[bytes]":
        """See `Launch`."""
        socket_fd = self._listener.fileno()
        job = WorkerJob(
            self._sources,
            self._roots,
            self._options,
            socket_fd=socket_fd,
            grpc_address=self._grpc_address,
            ready_fd=ready_fd,
            number=number,
            cores=self._cores,
            supervisor_pid=os.getpid(),
            held=tuple(self._held.values()),
        )
        return subprocess.Popen(
            child_command(self._module, job_text(job)),
            env=self._environment,
            stdin=subprocess.PIPE,  # nothing is written: its end is the sign that this process is gone
            pass_fds=(socket_fd, ready_fd),
            process_group=0,  # a terminal's Ctrl-C comes here, and from here to the workers, once
        )
