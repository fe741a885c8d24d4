"""The supervisor of a server: binds the ports, and starts and restarts the worker.

It imports neither an engine nor NumPy, so it stays small and no model can affect it. It binds the HTTP socket once and
passes it to each worker, so the port stays bound while the worker restarts.

SIGTERM and SIGINT drain the server within the grace time. A second signal ends it at once. SIGHUP lets the worker read
certificate and keys again; from a terminal that was closed, it drains the server. The service manager is notified when
the server is ready and while it is well. A worker without heartbeats of its event loop is killed and restarted. Python
exits with 1 after an uncaught error; a worker must exit with another code to be restarted.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from edgecnn.host.child import signal_name
from edgecnn.server.logs import configure, flush
from edgecnn.server.models.catalogue import Source
from edgecnn.server.options import ServeOptions
from edgecnn.server.supervisor.checks import check_start
from edgecnn.server.supervisor.job import CANNOT_SERVE, WorkerJob
from edgecnn.server.supervisor.listening import Reserved, listen, reserve, url
from edgecnn.server.supervisor.notifying import Notifier
from edgecnn.server.supervisor.signals import Signals, has_terminal
from edgecnn.server.supervisor.worker_process import Restarts, WorkerProcess, ended_children

WORKER = "edgecnn.server.worker"

_ENDING = (signal.SIGTERM, signal.SIGINT)
_KILLED_AFTER_S = 2.0
"""Added to the grace time, which the worker applies."""
_LOADING_S = 0.5
"""Time to exit for a worker that accepts no requests yet: signals are not handled while an engine compiles."""
_TURN_S = 1.0
"""Maximum time between two turns of the loop."""
_RELOADING_S = 10.0
"""Time for the worker to read certificate and keys again, after which the service manager no longer waits."""
_HANG_UP_S = 0.5
"""Time after SIGHUP in which a terminal is closed."""
_AGAIN_S = 0.1
_NEVER = float("inf")

log = logging.getLogger("edgecnn.server")


def supervise(
    sources: Sequence[Source],
    options: ServeOptions,
    *,
    roots: Sequence[Path] = (),
    module: str = WORKER,
    restarts: Restarts | None = None,
) -> int:
    """Serve bundles until a signal ends the server; only in the main thread.

    Args:
        sources: models to serve.
        options: how to serve them.
        roots: folders in which models may be found later.
        module: module that the worker runs.
        restarts: how often a crashed worker is restarted.

    Returns:
        The exit code: 0 if all accepted requests were answered, 1 if not or if the worker crashed too often, 130 for a
        second SIGINT, otherwise the code of a worker that cannot serve.

    Raises:
        UsageError: the port cannot be bound, there are too few cores, a key or a certificate cannot be read, or, with
            `strict`, a source is ambiguous.
    """
    configure(options.log_format, options.log_level)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(flush)
        check_start(sources, options)
        listener = cleanup.enter_context(listen(options.host, options.port))
        grpc = None if options.grpc_port is None else reserve(options.host, options.grpc_port)
        if grpc is not None:
            cleanup.callback(grpc.close)
        signals = cleanup.enter_context(Signals((*_ENDING, signal.SIGHUP, signal.SIGCHLD)))
        notifier = Notifier()
        cleanup.callback(notifier.close)
        job = WorkerJob(
            tuple(sources),
            tuple(roots),
            options,
            socket_fd=listener.fileno(),
            grpc_address=None if grpc is None else grpc.address,
            supervisor_pid=os.getpid(),
            saved_tls_fd=_anonymous_file("tls", cleanup) if options.tls else None,
            saved_key_fd=_anonymous_file("api-key", cleanup) if options.api_key_file else None,
        )
        selector = cleanup.enter_context(selectors.DefaultSelector())
        selector.register(signals, selectors.EVENT_READ)
        worker = WorkerProcess(module, job, restarts or Restarts(), selector)
        supervisor = _Supervisor(
            worker, options, selector, listener=listener, grpc=grpc, signals=signals, notifier=notifier
        )
        cleanup.callback(supervisor.close)
        return supervisor.run()


def _anonymous_file(name: str, cleanup: contextlib.ExitStack) -> int | None:
    """Return a file in memory for the worker's credentials; None if the system has none."""
    with contextlib.suppress(AttributeError, OSError):  # only Linux has them
        fd = os.memfd_create(f"edgecnn-{name}")
        cleanup.callback(os.close, fd)
        return fd
    return None


class _Supervisor:
    def __init__(
        self,
        worker: WorkerProcess,
        options: ServeOptions,
        selector: selectors.BaseSelector,
        *,
        listener: socket.socket,
        grpc: Reserved | None,
        signals: Signals,
        notifier: Notifier,
    ) -> None:
        self._worker, self._options = worker, options
        self._listener, self._url = listener, url(listener, options.scheme)
        self._grpc = grpc
        self._signals, self._notifier = signals, notifier
        self._selector = selector
        self._has_terminal = has_terminal()
        self._announced = False
        self._code: int | None = None
        """Exit code of this process; None while the server runs."""
        self._kill_loading_at = self._kill_at = self._hung_up_at = self._reloaded_at = _NEVER
        self._counted_at = time.monotonic()

    def run(self) -> int:
        """Run the worker until it cannot serve or a signal arrives, then wait for its exit."""
        log.info("edgecnn listens on %s", self._url, extra={"pid": os.getpid()})
        self._notifier.status(f"loading models for {self._url}")
        self._start()
        while self._code is None or self._worker.process is not None:
            try:
                self._turn()
            except (OSError, MemoryError) as error:
                log.error("the supervisor continues after an error of the system: %s", str(error) or "no memory")
                time.sleep(_AGAIN_S)
        return self._code

    def _turn(self) -> None:
        """Wait for an event, and handle all that have happened."""
        self._selector.select(max(0.0, min(self._due_at() - time.monotonic(), _TURN_S)))
        self._read_notices()
        for number in self._signals.take():
            if number in _ENDING:
                self._end(number)
            elif number is signal.SIGHUP:
                self._hang_up()
        for pid, code in ended_children():
            if self._worker.process is not None and self._worker.process.pid == pid:
                self._reap(code)
        self._do_what_is_due()

    def close(self) -> None:
        """Kill the worker if it still runs, also after an error in this process."""
        self._worker.send(signal.SIGKILL)
        if self._worker.process is not None:
            self._worker.reap(self._worker.process.wait())
        self._worker.close_pipes()

    def _start(self) -> None:
        try:
            self._worker.start()
        except (OSError, MemoryError) as error:
            self._crashed(f"could not be started: {getattr(error, 'strerror', None) or error or 'no memory'}")

    def _read_notices(self) -> None:
        worker = self._worker
        became_ready = worker.read_notices()
        if worker.has_reloaded:
            worker.has_reloaded = False
            self._reloaded_at = time.monotonic()
        if not became_ready or self._code is not None:
            return
        if self._announced:
            log.info("the worker is ready again")
        else:
            self._announced = True
            if self._grpc is not None:
                log.info("edgecnn answers gRPC on %s", self._grpc.address)
            log.info("edgecnn serves %s on %s", worker.names or "no model", self._url)
            self._notifier.ready()
        refused = f"; failed to load at the start: {worker.refused}" if worker.refused else ""
        self._notifier.status(f"serves {worker.names or 'no model'} on {self._url}{refused}")

    def _reap(self, code: int) -> None:
        """Restart the worker after it ended, or end the server."""
        worker = self._worker
        self._read_notices()  # it may have become ready and ended since the last turn
        worker.close_pipes()
        worker.reap(code)
        how = f"ended by {signal_name(code)}" if code < 0 else f"ended with exit code {code}"
        if self._code is not None:
            lost_nothing = code == 0 or (not worker.is_accepting and code in (-signal.SIGTERM, -signal.SIGKILL))
            if not lost_nothing:
                log.error("the worker %s before all requests were answered", how)
                self._code = self._code or 1
        elif code in CANNOT_SERVE and not self._announced:  # otherwise a later worker may be able to serve again
            log.error("the worker cannot serve: the server exits", extra={"exit_code": code})
            self._stop(code)
        else:
            self._crashed(how)

    def _crashed(self, how: str) -> None:
        worker = self._worker
        if worker.count_crash() and worker.restart_at is not None:
            delay_s = worker.restart_at - time.monotonic()
            log.warning("the worker %s and is restarted in %.1f s", how, max(delay_s, 0.0))
            self._notifier.status(f"the worker {how} and is restarted, crash {worker.crashes} in a row")
        else:
            log.error("the worker %s: %d crashes in a row, the server exits", how, worker.crashes)
            self._stop(1)

    def _end(self, number: signal.Signals) -> None:
        """Handle a signal: the first one lets the worker finish, the second one kills it."""
        if self._code is None:
            log.info("%s: draining, no new request is accepted", number.name)
            self._stop(0)
            return
        log.warning("%s again: the worker is killed", number.name)
        self._code = 130 if number is signal.SIGINT else self._code or 1
        self._kill_at = time.monotonic()

    def _hang_up(self) -> None:
        """Handle SIGHUP: drain if the terminal was closed, otherwise let the worker read certificate and keys again."""
        if self._code is not None:
            return  # a closing terminal sends it twice, and service managers send it after SIGTERM
        if self._has_terminal:
            self._hung_up_at = time.monotonic() + _HANG_UP_S  # some systems send the signal first
        log.info("SIGHUP: the certificate and key files are read again")
        if self._announced and self._worker.is_accepting:
            self._notifier.reloading()
            self._reloaded_at = time.monotonic() + _RELOADING_S
            self._worker.send(signal.SIGHUP)
        # A worker that does not accept requests yet reads the files when it does.

    def _stop(self, code: int) -> None:
        """Let the worker drain; this process then exits with the code."""
        self._code = code
        self._reloaded_at = self._hung_up_at = _NEVER
        self._notifier.stopping()
        self._notifier.status("draining")
        self._listener.close()  # clients are refused once the worker has closed its copy too
        if self._grpc is not None:
            self._grpc.close()
        now = time.monotonic()
        self._kill_loading_at = now + _LOADING_S
        self._kill_at = now + self._options.grace_s + _KILLED_AFTER_S
        self._worker.restart_at = None
        self._worker.send(signal.SIGTERM)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        elapsed_s, self._counted_at = now - self._counted_at, now
        if self._worker.restart_at is not None and self._worker.restart_at <= now:
            self._start()
        if self._hung_up_at <= now:
            self._hung_up_at = _NEVER
            if not has_terminal():
                self._end(signal.SIGHUP)
        if self._reloaded_at <= now:
            self._reloaded_at = _NEVER
            self._notifier.ready()
        if self._kill_at <= now:
            self._kill_at = self._kill_loading_at = _NEVER
            self._code = self._code or int(self._worker.process is not None)
            self._worker.send(signal.SIGKILL)
        elif self._kill_loading_at <= now:
            self._kill_loading_at = _NEVER
            if not self._worker.is_accepting:
                self._worker.send(signal.SIGKILL)
        if self._code is None:
            stack = self._worker.count_silence(elapsed_s)
            if stack is not None:
                log.error("the worker does not answer: it is killed", extra={"stack": stack or "unknown"})
        # The call itself shows that this process runs. A worker whose engine is stuck exits by itself.
        is_well = self._worker.is_well() if self._code is None else self._kill_at > now
        self._notifier.do_what_is_due(is_well=is_well)

    def _due_at(self) -> float:
        """Return when, by the monotonic clock, the next action is due."""
        times = [self._kill_at, self._kill_loading_at, self._hung_up_at, self._reloaded_at, self._notifier.due_at()]
        if self._worker.restart_at is not None:
            times.append(self._worker.restart_at)
        return min(times)
