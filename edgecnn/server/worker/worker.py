"""The worker process: event loop, models and engines. The supervisor binds the port and restarts the worker."""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edgecnn.host.resources import usable_cores
from edgecnn.protocol.api_key import read_api_key
from edgecnn.server.api.application import HttpApplication
from edgecnn.server.api.service import Service
from edgecnn.server.http.limits import Limits
from edgecnn.server.http.listener import Listener
from edgecnn.server.http.tls import server_context
from edgecnn.server.memory import MemoryBudget, default_budget
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.load_queue import LoadQueue
from edgecnn.server.models.loading import load
from edgecnn.server.models.model_host import ModelHost, models_of
from edgecnn.server.models.repository import Repository
from edgecnn.server.options import ServeOptions
from edgecnn.server.supervisor.job import BROKEN, STALLED, Notice, WorkerJob, say
from edgecnn.server.web.pages import read_pages

if TYPE_CHECKING:
    from edgecnn.server.grpc.server import GrpcServer

_WATCH_S = 1.0
_POLL_S = 0.02
_LINGER_S = 0.5
"""Time after the stop signal in which arriving requests get a 503."""
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
        key = options.api_key_file
        self._budget = MemoryBudget(options.memory_budget or default_budget())
        self._metrics.pull("gauge", "memory_budget_bytes", "Memory for all requests", lambda: self._budget.total_bytes)
        self._metrics.pull("gauge", "memory_held_bytes", "Memory of all requests", lambda: self._budget.held_bytes)
        self._metrics.pull("counter", "memory_refused", "Steps refused for memory", lambda: self._budget.refused)
        self._service = Service(models, budget=self._budget, api_key=None if key is None else read_api_key(key))
        self._application = HttpApplication(
            self._service,
            self._metrics,
            max_body_bytes=options.max_body_mb << 20,
            trusted_hosts=options.hosts(),
            access_log=options.access_log,
            pages={} if options.no_page else read_pages(options.image_formats),
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
            open_bundle=lambda path: load(path, options, self._cores),
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
        sock = socket.socket(fileno=self._job.socket_fd)
        sock.setblocking(False)
        context = server_context(*options.tls) if options.tls else None
        limits = limits_of(options)
        self._listener = Listener(sock, self._application, limits, budget=self._budget, ssl_context=context)
        self._grpc: GrpcServer | None = None
        if self._job.grpc_address is not None:
            from edgecnn.server.grpc import server as grpc  # imported on demand: it takes 20 MB

            self._grpc = grpc.GrpcServer(
                self._service,
                self._metrics,
                limits,
                address=self._job.grpc_address,
                tls=options.tls,
                access_log=options.access_log,
            )
        pool = ThreadPoolExecutor(self._cores, thread_name_prefix="edgecnn-pool")
        self._service.start(pool)
        self._listener.start()
        if self._grpc is not None:
            await self._grpc.start()
        for name, work in (("load", self._repository.run), ("watch", self._watch)):
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
            say(self._job, Notice())

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
            say(self._job, Notice(served=ready, refused=refused))

    def _end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    def _watch(self) -> None:
        """Exit if an engine fails or hangs, because a run cannot be cancelled.

        This runs in a separate thread, because a run may block the event loop's thread.
        """
        while True:
            time.sleep(_WATCH_S)
            for model in list(self._model_host.models.values()):
                fields = {"model": model.name}
                if model.longest_run_s() > self._options.stall_timeout_s:
                    logger.critical("the engine hangs: a run exceeded the stall timeout", extra=fields)
                    os._exit(STALLED)
                if model.has_died:
                    logger.critical("the engine fails on every image", extra=fields)
                    self._loop.call_soon_threadsafe(self._end, BROKEN)
                    return

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


def limits_of(options: ServeOptions) -> Limits:
    """Return the limits of connections and requests."""
    return Limits(
        max_connections=options.max_connections,
        max_body_bytes=options.max_body_mb << 20,
        header_timeout_s=options.header_timeout_s,
        body_timeout_s=options.body_timeout_s,
        write_timeout_s=options.write_timeout_s,
        idle_timeout_s=options.idle_timeout_s,
    )
