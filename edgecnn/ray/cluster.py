"""Connect to a Ray cluster."""

import contextlib
import logging
import os
import re
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from edgecnn.errors import EdgecnnError, MissingExtra, NodeWarning, UsageError
from edgecnn.hints import install_command

_ADDRESS = re.compile(r"(\[[\w:.%]+\]|[^:/\s\[\]]+):(?P<port>\d{1,5})")
_LARGEST_PORT = 65535
_TIMEOUT_S = 5.0
_WATCH_S = 10.0
_CORE_LEVEL = "RAY_BACKEND_LOG_LEVEL"
AUTO = "auto"


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster while the block runs. A process that is already connected stays so.

    Args:
        address: `HOST:PORT` of the head node, or `auto` for `RAY_ADDRESS` or the cluster of this machine.

    Raises:
        UsageError: the address has another form.
        EdgecnnError: the cluster does not answer, or has another version of Ray or Python.
        MissingExtra: Ray is not installed.
    """
    ray = ray_module()
    if ray.is_initialized():
        yield
        return
    with _silenced():
        found = _resolved(address)
        try:
            with _silenced_core():
                ray.init(address=found, log_to_driver=False, logging_level="CRITICAL", namespace="edgecnn")
        except (Exception, SystemExit) as error:  # Ray raises many types, for example for other versions
            raise EdgecnnError(f"cannot connect to Ray at {found}: {' '.join(str(error).split()):.300}") from None
        try:
            with _watched(found):
                yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _watched(address: str) -> Iterator[None]:
    """Warn once if the head node stops answering. Ray ends this process a minute later, without a message."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_WATCH_S):
            try:
                _check_answer(address)
            except EdgecnnError:
                warnings.warn(
                    f"the head node at {address} does not answer: Ray ends this process after a minute; finished "
                    f"shards are kept: restart the cluster, then run the same command again",
                    NodeWarning,
                    stacklevel=2,
                )
                return

    thread = threading.Thread(target=watch, name="edgecnn-ray", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep Ray's lines off stdout and stderr. What matters reaches the user as an error or a warning of edgecnn."""
    import ray.data  # noqa: F401  # sets the level of its logger
    from ray._private import worker

    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels, shown = [logger.level for logger in loggers], worker._worker_logs_enabled
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    worker._worker_logs_enabled = False  # also excludes errors of nodes, which `log_to_driver` does not
    try:
        yield
    finally:
        worker._worker_logs_enabled = shown
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _silenced_core() -> Iterator[None]:
    """Keep the log lines of Ray's C++ code off stderr. It reads its level once, and writes a line about that.

    The user's own `RAY_BACKEND_LOG_LEVEL` has precedence.
    """
    if _CORE_LEVEL in os.environ:
        yield
        return
    os.environ[_CORE_LEVEL] = "fatal"
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        del os.environ[_CORE_LEVEL]


def _resolved(address: str) -> str:
    """Return the address of a cluster that answers. Ray itself would wait for two minutes.

    Raises:
        UsageError: the address is not `HOST:PORT` or `auto`.
        EdgecnnError: no cluster runs on this machine, or none answers.
    """
    from ray._private.services import canonicalize_bootstrap_address  # Ray has no public function for `auto`

    if address != AUTO:
        _check_form(address)
    try:
        found = canonicalize_bootstrap_address(address)
    except ConnectionError:
        found = None
    except ValueError:  # RAY_ADDRESS has another form
        found = os.environ.get("RAY_ADDRESS", "")
    if found is None:
        raise EdgecnnError(
            "no Ray cluster runs here: start one with `ray start --head`, or pass its address as HOST:PORT"
        )
    _check_form(found)
    _check_answer(found)
    return str(found)


def _check_form(address: str) -> None:
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > _LARGEST_PORT:
        raise UsageError(f"expected the address of a Ray cluster as HOST:PORT, or auto, found {address!r}")


def _check_answer(address: str) -> None:
    """Check that a gRPC server answers at an address.

    Raises:
        EdgecnnError: none answers within some seconds.
    """
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    import grpc

    states: SimpleQueue[Any] = SimpleQueue()
    end = time.monotonic() + _TIMEOUT_S
    with (
        grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel,
        contextlib.suppress(Empty),
    ):
        channel.subscribe(states.put, try_to_connect=True)
        state = None
        while state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            state = states.get(timeout=max(0.0, end - time.monotonic()))
            if state is grpc.ChannelConnectivity.READY:
                return
    raise EdgecnnError(
        f"no Ray cluster answers at {address} within {_TIMEOUT_S:g} s: check the address and the port, 6379 by default"
    )


def ray_module() -> Any:
    """Import Ray. Its own types are incomplete, so it has none here.

    Raises:
        MissingExtra: Ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingExtra(f"--ray needs Ray, which is not installed: {install_command('ray')}") from None
    return ray
