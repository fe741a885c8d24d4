"""The worker process: event loop, models and engines. The supervisor binds the port and restarts the worker."""

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

from edgecnn.host.resources import usable_cores
from edgecnn.server import logs
from edgecnn.server.access_log import AccessLog
from edgecnn.server.api.application import HttpApplication
from edgecnn.server.api.control_requests import is_loopback
from edgecnn.server.api.explaining import Explainers
from edgecnn.server.api.service import Service
from edgecnn.server.api.step_pool import StepPool
from edgecnn.server.api.suspects import DecodingGuard
from edgecnn.server.credentials import Credentials
from edgecnn.server.decoding_record import DecodingRecord
from edgecnn.server.http.listener import Listener
from edgecnn.server.http.message import Handler
from edgecnn.server.memory import MemoryBudget, default_budget
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.load_queue import LoadQueue
from edgecnn.server.models.loading import load
from edgecnn.server.models.model_host import ModelHost, models_of
from edgecnn.server.models.model_metrics import VersionMetrics
from edgecnn.server.models.repository import Repository
from edgecnn.server.options import ServeOptions
from edgecnn.server.supervisor.job import BROKEN, STALLED, Notice, WorkerJob, say
from edgecnn.server.web.learning import learning_pages
from edgecnn.server.web.pages import read_pages
from edgecnn.server.worker.life import exit_now, send_heartbeats
from edgecnn.server.worker.limits import limits_of
from edgecnn.server.worker.trimming import Trimmer

if TYPE_CHECKING:
    from edgecnn.server.grpc.server import GrpcServer

_WATCH_S = 1.0
_POLL_S = 0.02
_LINGER_S = 0.5
"""Time after the stop signal in which arriving requests get a 503."""
_EXHAUSTED_S = 2.0
"""Time without a descriptor for a connection after which the worker sends no heartbeat."""
logger = logging.getLogger(__name__)


class Worker:
    """The worker, from its job to its exit code."""

    def __init__(self, job: WorkerJob, loop: asyncio.AbstractEventLoop) -> None:
        self._job, self._loop = job, loop
        self._options = options = job.options
        self._cores = usable_cores()
        self._metrics = Metrics()
        names = [*(source.name for source in job.sources), *(handoff.name for handoff in job.handoffs)]
        models = models_of(dict.fromkeys(names), options, self._metrics)
        self._metrics.register(VersionMetrics(models))
        self._credentials = Credentials(
            options.tls, options.api_key_file, saved_tls_fd=job.saved_tls_fd, saved_key_fd=job.saved_key_fd
        )
        _measure(self._metrics, self._credentials)
        self._budget = MemoryBudget(options.memory_budget or default_budget())
        self._metrics.pull("gauge", "memory_budget_bytes", "Memory for all requests", lambda: self._budget.total_bytes)
        self._metrics.pull("gauge", "memory_held_bytes", "Memory of all requests", lambda: self._budget.held_bytes)
        self._metrics.pull("counter", "memory_refused", "Steps refused for memory", lambda: self._budget.refused)
        record = DecodingRecord(job.record_fd)
        self._pool = StepPool(self._cores, DecodingGuard(record, suspected=job.suspected, refused=job.refused))
        self._metrics.pull("gauge", "decoding_queue", "Steps that wait for a thread", lambda: self._pool.waiting)
        self._metrics.pull("gauge", "decoding_longest_seconds", "Longest current step", self._pool.longest_s)
        self._service = Service(models, budget=self._budget, api_key=self._credentials.api_key)
        if options.explain:
            self._service.explainers = Explainers(self._budget)
        self._socket = socket.socket(fileno=job.socket_fd)
        self._socket.setblocking(False)
        self._access_log = AccessLog(health=options.access_log_health) if options.access_log else None
        self._application = HttpApplication(
            self._service,
            self._metrics,
            max_body_bytes=options.max_body_mb << 20,
            trusted_hosts=options.hosts(),
            checks_pages=not self._service.needs_key and is_loopback(self._socket),
            access_log=self._access_log,
            pages={} if options.no_page else _pages(options),
        )
        self._is_accepting = False
        queue = LoadQueue()
        if options.model_control:
            self._service.load_queue = queue
        self._model_host = ModelHost(
            loop,
            models,
            lay_out=self._application.lay_out,
            options=options,
            metrics=self._metrics,
            serves=self._accept,
            loaded=self._loaded,
        )
        self._repository = Repository(
            job.sources,
            job.roots,
            self._model_host,
            queue,
            open_bundle=functools.partial(load, options=options, cores=self._cores),
            handoffs=job.handoffs,
            remember=lambda handoff: say(job, Notice(handoff)),
            watch_s=options.watch_s,
            signed=options.require_signature is not None,
        )

    async def run(self) -> int:
        """Serve until the stop signal; return the exit code."""
        loop = self._loop
        self._ended: asyncio.Future[int] = loop.create_future()
        options = self._options
        tls = self._credentials.tls
        limits = limits_of(options)
        self._listener = Listener(
            self._socket, self._application, limits, budget=self._budget, ssl_context=tls.context if tls else None
        )
        slots = self._listener.slots
        self._metrics.pull("gauge", "open_connections", "Open connections over HTTP", lambda: len(slots.all))
        self._metrics.pull("counter", "connections_evicted", "Connections that made room", lambda: slots.evicted)
        self._metrics.pull("counter", "connections_refused", "Connections above the limit", lambda: slots.refused)
        self._grpc: GrpcServer | None = None
        if self._job.grpc_address is not None:
            from edgecnn.server.grpc import server as grpc  # imported on demand: it takes 20 MB

            self._grpc = grpc.GrpcServer(
                self._service,
                self._metrics,
                limits,
                address=self._job.grpc_address,
                credentials=self._credentials,
                access_log=self._access_log,
            )
        self._service.start(self._pool)
        self._listener.start()
        if self._grpc is not None:
            self._grpc.start()
        threads = (("load", self._repository.run), ("watch", self._watch), ("credentials", self._watch_credentials))
        for name, work in threads:
            threading.Thread(target=work, name=f"edgecnn-{name}", daemon=True).start()
        code = await self._ended
        if code in (0, BROKEN):
            code = await self._drain() or code
        return code

    def _accept(self) -> None:
        """Report to the supervisor that the worker accepts requests."""
        if not self._is_accepting:
            self._is_accepting = True
            # Before this, SIGTERM ends the process at once, because no request is pending.
            self._loop.add_signal_handler(signal.SIGTERM, self._end, 0)
            self._loop.add_signal_handler(signal.SIGHUP, self._credentials.ask)
            send_heartbeats(
                self._job.heartbeat_fd, self._loop, can_answer=lambda: self._listener.exhausted_s() < _EXHAUSTED_S
            )
            self._report(Notice())

    def _loaded(self) -> None:
        """Report the served models. Exit if no model is served or, with `strict`, if one is missing.

        `strict` does not apply to a restarted worker, because new versions may have been refused since the start.
        """
        models = self._model_host.models.values()
        is_strict = self._options.strict and not self._job.handoffs
        if not any(model.state == "ready" or model.is_unloaded for model in models):
            logger.error("no model to serve: no bundle could be loaded")
            self._end(1)
        elif is_strict and any(model.reason for model in models):
            logger.error("a bundle could not be loaded: exiting because of --strict")
            self._end(1)
        elif is_strict and self._model_host.has_warned:
            logger.error("a bundle caused a warning: exiting because of --strict")
            self._end(1)
        else:
            self._accept()  # also if all models are unloaded: clients may load them again
            ready = tuple(model.name for model in models if model.state == "ready")
            refused = tuple(model.name for model in models if model.state != "ready" and not model.is_unloaded)
            self._report(Notice(served=ready, refused=refused))

    def _report(self, notice: Notice) -> None:
        """Send a notice after the log lines so far, from a thread: a stopped supervisor must not block the loop."""

        def report() -> None:
            logs.flush()
            say(self._job, notice)

        threading.Thread(target=report, name="edgecnn-notice", daemon=True).start()

    def _end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    def _watch(self) -> None:
        """Exit if an engine fails or hangs, or decoding hangs, because neither can be cancelled. Return freed memory.

        This runs in a separate thread, because a run may block the event loop's thread.
        """
        trimmer = Trimmer(self._budget)
        while True:
            time.sleep(_WATCH_S)
            with contextlib.suppress(OSError):  # the process has no file descriptor left
                trimmer.check()
            if self._service.explainers is not None:
                self._service.explainers.close_idle()
            if self._pool.longest_s() > self._options.stall_timeout_s:
                logger.critical("decoding hangs: an image exceeded the stall timeout")
                exit_now(STALLED)
            for model in list(self._model_host.models.values()):
                fields = {"model": model.name}
                if model.longest_run_s() > self._options.stall_timeout_s:
                    logger.critical("the engine hangs: a run exceeded the stall timeout", extra=fields)
                    exit_now(STALLED)
                if model.has_died:
                    logger.critical("the engine fails on every image", extra=fields)
                    self._loop.call_soon_threadsafe(self._end, BROKEN)
                    return

    def _watch_credentials(self) -> None:
        """Read changed certificates and keys; this runs in a separate thread, because files may be slow."""
        self._credentials.watch(
            changed=lambda: self._loop.call_soon_threadsafe(self._use_credentials),
            answered=lambda: say(self._job, Notice(reloaded=True)),
        )

    def _use_credentials(self) -> None:
        self._service.api_key = self._credentials.api_key
        if self._credentials.tls is not None:
            self._listener.ssl_context = self._credentials.tls.context

    def _busy(self) -> int:
        return self._listener.busy + (self._grpc.busy if self._grpc else 0)

    async def _drain(self) -> int:
        """Refuse new requests, answer the accepted ones, and close; return the exit code."""
        self._service.drain()
        self._listener.drain()
        logger.info("draining", extra={"in_flight": self._busy()})
        now = time.monotonic()
        linger, end = now + _LINGER_S, now + self._options.grace_s
        while (self._busy() or now < linger) and now < end:
            await asyncio.sleep(_POLL_S)
            now = time.monotonic()
        stops = [door.stop(max(0.0, end - now)) for door in (self._listener, self._grpc) if door is not None]
        answered = all(await asyncio.gather(*stops))
        if not answered:
            logger.error("the grace period ended before all requests were answered")
        return 0 if answered else STALLED


def _pages(options: ServeOptions) -> dict[str, Handler]:
    """Return the handlers of the web page's files and of the pages of `edgecnn learn`, by path."""
    return {path: page.answer for path, page in read_pages(options.image_formats).items()} | learning_pages()


def _measure(metrics: Metrics, credentials: Credentials) -> None:
    """Add the metrics of the log and of the credentials."""
    metrics.pull("counter", "log_lines_dropped", "Log lines that were dropped", logs.dropped_lines)
    text = "Changes of certificate and key files that took effect"
    metrics.pull("counter", "credentials_reloads", text, lambda: credentials.reloads)
    text = "Changes of certificate and key files that were refused"
    metrics.pull("counter", "credentials_reload_failures", text, lambda: credentials.failures)
    if credentials.tls is not None:
        text = "End of the TLS certificate's validity in seconds since 1970"
        metrics.pull("gauge", "certificate_expiry_timestamp_seconds", text, credentials.expires_at)
