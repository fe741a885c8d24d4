"""The process that serves: event loop, models and engines in one; `python -m edgecnn.serving.worker JOB`.

Its supervisor has bound the port, and starts it again where it crashes.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from edgecnn.errors import EdgecnnError
from edgecnn.serving import logs
from edgecnn.serving.application import Application
from edgecnn.serving.catalogue import served_name
from edgecnn.serving.credentials import read_api_key
from edgecnn.serving.http.limits import Limits
from edgecnn.serving.http.listener import Listener
from edgecnn.serving.http.tls import server_context
from edgecnn.serving.inference import Workplace
from edgecnn.serving.loading import Loaded, load, public_reason
from edgecnn.serving.metrics import Metrics
from edgecnn.serving.model import Bounds, Model
from edgecnn.serving.options import ServeOptions
from edgecnn.serving.processes.job import BROKEN, STALLED, WorkerJob, read_job, say_accepting, say_ready
from edgecnn.serving.processes.lifeline import die_with_parent

_WATCH_S = 1.0
_POLL_S = 0.02
_LINGER_S = 0.5
"""After the signal to end: for requests that are on their way, which get a 503."""

logger = logging.getLogger("edgecnn.serving.worker")  # it runs as `__main__`


class Worker:
    """One worker, from its job to its exit code."""

    def __init__(self, job: WorkerJob) -> None:
        self._job = job
        self._options = job.options
        self._metrics = Metrics()
        # Names are read once: a bundle may be replaced while the one before it loads.
        self._bundles = [(path, self._model(served_name(path))) for path in job.bundles]
        self._models = {model.name: model for _, model in self._bundles}
        key = job.options.api_key_file
        self._application = Application(
            self._models,
            self._metrics,
            api_key=None if key is None else read_api_key(key),
            access_log=job.options.access_log,
        )
        self._ended: asyncio.Future[int] | None = None

    async def run(self) -> int:
        """Serve until the signal to end; returns the exit code."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        options = self._options
        sock = socket.socket(fileno=self._job.socket_fd)
        sock.setblocking(False)
        context = server_context(options.tls_cert, options.tls_key) if options.tls_cert and options.tls_key else None
        listener = self._listener = Listener(sock, self._application, limits_of(options), ssl_context=context)
        pool = ThreadPoolExecutor(self._job.cores, thread_name_prefix="edgecnn-pool")
        workplace = Workplace(loop, pool, options.max_body_mb << 20, self._application.reply)
        self._application.work_at(workplace)
        if options.workers == 1:  # else the others would answer what this one, still loading, took from them
            listener.start()
        for work in (self._load, self._watch):
            threading.Thread(target=work, args=(loop,), name=f"edgecnn{work.__name__}", daemon=True).start()
        code = await self._ended
        if code in (0, BROKEN):
            code = await self._drain(listener) or code
        return code

    def _model(self, name: str) -> Model:
        options = self._options
        bounds = Bounds(
            max_batch=options.max_batch,
            max_pending=options.max_queue,
            max_delay_s=options.max_delay_us / 1e6,
            max_pixels=options.max_pixels,
        )
        return Model(name, bounds, self._metrics.of(name))

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        """Load every bundle; in a thread of its own, since engines take their time to open."""
        for path, model in self._bundles:
            start = time.monotonic()
            try:
                loaded = load(path, self._options, self._job.cores)
            except EdgecnnError as error:
                logger.error("%s", error, extra={"model": model.name})
                loop.call_soon_threadsafe(model.refuse, public_reason(error))
            except Exception:
                logger.exception("a bug: the bundle could not be loaded", extra={"model": model.name})
                loop.call_soon_threadsafe(model.refuse, "it cannot be opened")
            else:
                loop.call_soon_threadsafe(self._start, model, loaded, time.monotonic() - start)
        loop.call_soon_threadsafe(self._loaded)

    def _start(self, model: Model, loaded: Loaded, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if all(each.state != "ready" for each in self._models.values()):
            # Until here the signal ends the process at once: there is nothing to answer.
            loop.add_signal_handler(signal.SIGTERM, self._end, 0)
            say_accepting(self._job)
        model.opened(loaded.bundle)
        model.start(loaded.session, loop, known=loaded.known, run_ms=loaded.run_ms)
        info = loaded.session.info
        fields = {"engine": f"{info.engine} {info.version}", "device": info.device, "precision": info.precision}
        fields |= {
            "threads": str(info.threads),
            "instances": str(loaded.session.concurrency),
            "seconds": f"{seconds:.2f}",
        }
        logger.info("ready", extra={"model": model.name} | fields)

    def _loaded(self) -> None:
        """Tell the supervisor; end where there is nothing to serve, or not everything and that was asked for."""
        ready = [model.name for model in self._models.values() if model.state == "ready"]
        if not ready:
            logger.error("there is nothing to serve: no bundle could be loaded")
            self._end(1)
        elif self._options.strict and len(ready) < len(self._models):
            logger.error("not every bundle could be loaded, and --strict was asked for")
            self._end(1)
        else:
            if self._options.workers > 1:
                self._listener.start()
            say_ready(self._job, ready)

    def _end(self, code: int) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(code)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the process where an engine has died, or does not come back: nothing can stop a run.

        In a thread of its own, since a run may be under way in the event loop's.
        """
        while True:
            time.sleep(_WATCH_S)
            for model in self._models.values():
                fields = {"model": model.name}
                if model.longest_run_s() > self._options.stall_timeout_s:
                    logger.critical("the engine does not come back from a run", extra=fields)
                    os._exit(STALLED)
                if model.has_died:
                    logger.critical("the engine fails on every image", extra=fields)
                    loop.call_soon_threadsafe(self._end, BROKEN)
                    return

    async def _drain(self, listener: Listener) -> int:
        """Begin nothing new, answer what was accepted, and close; returns the exit code."""
        self._application.is_draining = True
        listener.drain()
        logger.info("draining", extra={"in_flight": listener.busy})
        now = time.monotonic()
        linger, end = now + _LINGER_S, now + self._options.grace_s
        while (listener.busy or now < linger) and now < end:
            await asyncio.sleep(_POLL_S)
            now = time.monotonic()
        answered = await listener.stop(max(0.0, end - now))
        if not answered:
            logger.error("the grace time is over, and not everything is answered")
        return 0 if answered else STALLED


def limits_of(options: ServeOptions) -> Limits:
    """Return the bounds of a connection."""
    return Limits(
        max_connections=options.max_connections,
        max_body_bytes=options.max_body_mb << 20,
        header_timeout_s=options.header_timeout_s,
        body_timeout_s=options.body_timeout_s,
        write_timeout_s=options.write_timeout_s,
        idle_timeout_s=options.idle_timeout_s,
    )


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return libuv's event loop where it is installed; Windows has none."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def main() -> None:
    """Do the job on the command line."""
    job = read_job()
    die_with_parent(job.supervisor_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the supervisor too, which says what happens
    logs.configure(job.options.log_format, job.options.log_level)
    try:
        with asyncio.Runner(loop_factory=_new_loop()) as runner:
            code = runner.run(Worker(job).run())
            # Threads of engines may hang; nothing is left to be done.
            sys.stderr.flush()
            os._exit(code)
    except EdgecnnError as error:
        logger.error("%s", error)
        os._exit(error.exit_code)
    except BaseException:
        logger.exception("a bug: the worker ends")
        os._exit(BROKEN)


if __name__ == "__main__":
    main()
