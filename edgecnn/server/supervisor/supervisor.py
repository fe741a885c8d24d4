"""Keeps the workers of a server alive, and ends with them: binds the port, starts, restarts, passes signals on.

It imports no engine and not even NumPy, so that it stays small, and nothing that a model does can reach it. The socket
is bound once and shared by all workers: the port stays ours while one of them is started again.

SIGTERM, SIGINT and SIGHUP end the server: what was accepted is answered, within the grace time. A second one ends it
at once. A service manager is told when all is served, and that all is well. Python's own exit code of an uncaught error
is 1: a worker must turn those into another, or is not restarted.
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

from edgecnn.errors import UsageError
from edgecnn.host.child import signal_name
from edgecnn.protocol.api_key import read_api_key
from edgecnn.server.logs import configure
from edgecnn.server.models.catalogue import Source
from edgecnn.server.options import ServeOptions
from edgecnn.server.supervisor.job import CANNOT_SERVE
from edgecnn.server.supervisor.launching import Launcher
from edgecnn.server.supervisor.listening import Reserved, listen, reserve, url
from edgecnn.server.supervisor.metrics_folder import MetricsFolder
from edgecnn.server.supervisor.notifying import Notifier
from edgecnn.server.supervisor.signals import Signals
from edgecnn.server.supervisor.worker_place import Restarts, WorkerPlace, ended_children

WORKER = "edgecnn.server.worker"

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_KILLED_AFTER_S = 2.0
"""Beyond the grace time that the workers keep themselves."""
_LOADING_S = 0.5
"""What a worker that has accepted nothing yet gets: an engine that compiles does not hear signals."""

log = logging.getLogger("edgecnn.server")


def supervise(
    sources: Sequence[Source],
    options: ServeOptions,
    *,
    roots: Sequence[Path] = (),
    module: str = WORKER,
    restarts: Restarts | None = None,
) -> int:
    """Serve bundles until a signal ends it; only in the main thread.

    Args:
        sources: what is served.
        options: how.
        roots: where models may be found that are loaded later.
        module: what a worker runs.
        restarts: of workers that crash.

    Returns:
        The exit code: 0 where everything accepted was answered, 1 where not or where a worker crashed too often, 130
        for a second SIGINT, else that of a worker that cannot serve.

    Raises:
        UsageError: the port cannot be had, the cores do not suffice, a key or a certificate cannot be read; or there is
            a doubt about what is meant, where a warning is an error.
    """
    configure(options.log_format, options.log_level)
    for doubt in filter(None, (source.doubt for source in sources)):
        if options.strict:
            raise UsageError(doubt)
        log.warning("%s", doubt)
    cores = options.cores_of_a_worker()
    if options.api_key_file is not None:
        read_api_key(options.api_key_file)
    if options.tls is not None:
        from edgecnn.server.http.tls import server_context  # 5 MB that a server without TLS does without

        server_context(*options.tls)
    if options.require_signature is not None:
        from edgecnn.server.preflight.signature_check import check_key

        check_key(options.require_signature)
    with contextlib.ExitStack() as cleanup:
        listener = cleanup.enter_context(listen(options.host, options.port))
        grpc = None if options.grpc_port is None else reserve(options.host, options.grpc_port)
        if grpc is not None:
            cleanup.callback(grpc.close)
        signals = cleanup.enter_context(Signals((*_ENDING, signal.SIGCHLD)))
        notifier = Notifier()
        cleanup.callback(notifier.close)
        metrics = MetricsFolder() if options.workers > 1 else None
        if metrics is not None:
            cleanup.callback(metrics.close)
        launcher = Launcher(
            module,
            sources=tuple(sources),
            roots=tuple(roots),
            options=options,
            cores=cores,
            listener=listener,
            grpc=grpc,
            metrics=metrics,
        )
        loading_s = options.load_timeout_s * (len(sources) + 1)
        places = [
            WorkerPlace(
                number,
                launcher.launch,
                remember=launcher.remember,
                restarts=restarts or Restarts(),
                loading_s=loading_s,
            )
            for number in range(options.workers)
        ]
        supervisor = _Supervisor(
            places, options, listener=listener, grpc=grpc, signals=signals, metrics=metrics, notifier=notifier
        )
        cleanup.callback(supervisor.close)
        return supervisor.run()


class _Supervisor:
    def __init__(
        self,
        places: list[WorkerPlace],
        options: ServeOptions,
        *,
        listener: socket.socket,
        grpc: Reserved | None,
        signals: Signals,
        metrics: MetricsFolder | None,
        notifier: Notifier,
    ) -> None:
        self._places, self._options, self._metrics = places, options, metrics
        self._notifier = notifier
        self._listener, self._url = listener, url(listener, options.scheme)
        self._grpc = grpc
        self._signals = signals
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals, selectors.EVENT_READ)
        self._announced = False
        self._code: int | None = None
        """What this process will end with; None while it is to go on."""
        self._kill_loading_at = self._kill_at = float("inf")

    def run(self) -> int:
        """Keep the workers alive until one cannot serve or a signal comes, then wait for their end."""
        log.info("edgecnn listens on %s", self._url, extra={"workers": len(self._places), "pid": os.getpid()})
        self._notifier.status(f"loads what it will serve on {self._url}")
        for place in self._places:
            self._start(place)
        while self._code is None or any(place.process for place in self._places):
            for key, _ in self._selector.select(self._wait_s()):
                if isinstance(key.data, WorkerPlace):
                    self._read_notice(key.data)
            for number in self._signals.take():
                if number in _ENDING:
                    self._end(number)
            for pid, code in ended_children():
                self._bury(pid, code)
            self._do_what_is_due()
        return self._code

    def close(self) -> None:
        """Leave no process behind, whatever went wrong here."""
        for place in self._places:
            place.send(signal.SIGKILL)
            if place.process is not None:
                place.bury(place.process.wait())
            place.close_notice()
        self._selector.close()

    def _start(self, place: WorkerPlace) -> None:
        try:
            place.start()
        except OSError as error:
            self._crashed(place, f"could not be started: {error.strerror or error}")
        else:
            assert place.notice_fd is not None
            self._selector.register(place.notice_fd, selectors.EVENT_READ, place)

    def _read_notice(self, place: WorkerPlace) -> None:
        notice = place.notice_fd
        became_ready = place.read_notice()
        if notice is not None and place.notice_fd is None:
            self._selector.unregister(notice)
        if not became_ready or self._code is not None:
            return
        if self._announced:
            log.info("worker %d is ready again", place.number)
        elif all(each.is_ready for each in self._places):
            self._announced = True
            if self._grpc is not None:
                log.info("edgecnn answers gRPC on %s", self._grpc.address)
            log.info("edgecnn serves %s on %s", place.names or "nothing", self._url)
            self._notifier.ready()
        if self._announced:
            refused = f"; could not be served when it started: {place.refused}" if place.refused else ""
            self._notifier.status(f"serves {place.names or 'nothing'} on {self._url}{refused}")

    def _bury(self, pid: int, code: int) -> None:
        """Decide what follows from the end of a process."""
        place = next((each for each in self._places if each.process is not None and each.process.pid == pid), None)
        if place is None:  # a worker's child, left to the first process of a container
            return
        self._read_notice(place)  # it may have become ready, and ended, since the selector was asked
        if place.notice_fd is not None:
            self._selector.unregister(place.notice_fd)
            place.close_notice()
        place.bury(code)
        if self._metrics is not None:
            self._metrics.forget(pid)
        how = f"ended by {signal_name(code)}" if code < 0 else f"ended with exit code {code}"
        if self._code is not None:
            lost_nothing = code == 0 or (not place.is_accepting and code in (-signal.SIGTERM, -signal.SIGKILL))
            if not lost_nothing:
                log.error("worker %d %s before it had answered everything", place.number, how)
                self._code = self._code or 1
        elif code in CANNOT_SERVE and not self._announced:  # later it may be able to again, and others serve
            log.error("worker %d cannot serve: the server ends", place.number, extra={"exit_code": code})
            self._stop(code)
        else:
            self._crashed(place, how)

    def _crashed(self, place: WorkerPlace, how: str) -> None:
        if place.count_crash() and place.restart_at is not None:
            delay_s = place.restart_at - time.monotonic()
            log.warning("worker %d %s and is started again in %.1f s", place.number, how, max(delay_s, 0.0))
            self._notifier.status(f"worker {place.number} {how} and is started again, crash {place.crashes} in a row")
        else:
            log.error("worker %d %s, its crash number %d in a row: the server ends", place.number, how, place.crashes)
            self._stop(1)

    def _end(self, number: signal.Signals) -> None:
        """Do as a signal says: the first time gently."""
        if self._code is not None and number is signal.SIGHUP:
            return  # a terminal that closes sends it twice, and service managers send it behind SIGTERM
        if self._code is None:
            log.info("%s: nothing more is accepted, and what was is answered", number.name)
            self._stop(0)
            return
        log.warning("%s again: the workers are killed", number.name)
        self._code = 130 if number is signal.SIGINT else self._code or 1
        self._kill_at = time.monotonic()

    def _stop(self, code: int) -> None:
        """Let the workers finish; this process ends with the code when they have."""
        self._code = code
        self._notifier.stopping()
        self._notifier.status("answers what it has accepted, and ends")
        self._listener.close()  # they have it too: when the last of them closes it, clients are refused at once
        if self._grpc is not None:
            self._grpc.close()
        now = time.monotonic()
        self._kill_loading_at = now + _LOADING_S
        self._kill_at = now + self._options.grace_s + _KILLED_AFTER_S
        for place in self._places:
            place.restart_at = None
            place.send(signal.SIGTERM)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if place.restart_at is not None and place.restart_at <= now:
                self._start(place)
        if self._kill_at <= now:
            self._kill_at = self._kill_loading_at = float("inf")
            self._code = self._code or int(any(place.process for place in self._places))
            self._kill(self._places)
        elif self._kill_loading_at <= now:
            self._kill_loading_at = float("inf")
            self._kill([place for place in self._places if not place.is_accepting])
        self._notifier.do_what_is_due(is_well=self._is_well())

    def _is_well(self) -> bool:
        """Whether a worker serves, or is on its way to that within its bounds; while ending, whether that is in time.

        Being here at all says that this process is not stuck. A worker whose engine is stuck ends itself; one that
        hangs before it serves would be waited for without end.
        """
        if self._code is not None:
            return self._kill_at > time.monotonic()
        return any(place.is_well() for place in self._places)

    def _kill(self, places: list[WorkerPlace]) -> None:
        for place in places:
            place.send(signal.SIGKILL)

    def _wait_s(self) -> float | None:
        times = [place.restart_at for place in self._places if place.restart_at is not None]
        soonest = min([*times, self._kill_at, self._kill_loading_at, self._notifier.due_at()])
        return None if soonest == float("inf") else max(0.0, soonest - time.monotonic())
