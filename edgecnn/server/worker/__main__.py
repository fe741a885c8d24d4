"""`python -m edgecnn.server.worker JOB`: run the worker."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable

from edgecnn.errors import EdgecnnError
from edgecnn.host.lifeline import die_with_parent
from edgecnn.server import logs
from edgecnn.server.supervisor.job import BROKEN, read_job
from edgecnn.server.worker.life import exit_now
from edgecnn.server.worker.worker import Worker

_COLLECTED_OBJECTS = 10_000
"""New objects before Python's garbage collector runs. With its default, 700, it takes half of the time to parse JSON of
many lists, and blocks all threads meanwhile."""

logger = logging.getLogger("edgecnn.server.worker")


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's event loop factory if it is installed (not on Windows), otherwise asyncio's."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def main() -> None:
    """Run the job from the command line."""
    gc.set_threshold(_COLLECTED_OBJECTS)
    job = read_job()
    die_with_parent(job.supervisor_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the supervisor, which stops the worker
    logs.configure(job.options.log_format, job.options.log_level)
    try:
        with asyncio.Runner(loop_factory=_new_loop()) as runner:
            code = runner.run(Worker(job, runner.get_loop()).run())
            exit_now(code)
    except EdgecnnError as error:
        logger.error("%s", error)
        exit_now(error.exit_code)
    except BaseException:
        logger.exception("internal error: the worker exits")
        exit_now(BROKEN)


if __name__ == "__main__":
    main()
