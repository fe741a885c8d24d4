"""One record is one line, whatever text clients send."""

import contextlib
import http.client
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository import COMMITTED
from server_messages import TIMEOUT_S, wait_for

from edgecnn.errors import CacheWarning
from edgecnn.host.child import child_environment
from edgecnn.server.logs import LONGEST_VALUE, JsonLines, TextLines, configure, dropped_lines, flush

NASTY = "a\nb\r\x1b[31m\x00\x7f\x85\u2028\u202e\ud800 ü"


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("edgecnn.server", logging.INFO, "file.py", 1, message, arguments, None)
    vars(made).update(fields)
    return made


def undo() -> None:
    for each in (logging.getLogger("edgecnn"), logging.getLogger("asyncio")):
        each.handlers, each.propagate = [], True
        each.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    """Restore what `configure` replaces."""
    before = warnings.showwarning, threading.excepthook, sys.unraisablehook
    yield
    warnings.showwarning, threading.excepthook, sys.unraisablehook = before


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Configure logging to a file, and undo it afterwards."""
    fd = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    configure("text", "info", fd=fd)

    def read() -> str:
        flush()
        return (tmp_path / "log").read_text()

    yield read
    undo()
    os.close(fd)


def test_formats_a_text_line():
    line = TextLines().format(record("took %d ms", 3, model="lenet", path="/v2 x", empty=""))
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO took 3 ms model=lenet path="/v2 x" empty=""', line
    )


def test_formats_a_json_line():
    line = json.loads(JsonLines().format(record("took %d ms", 3, model="lenet", ms=1.5, none=None, nan=float("nan"))))
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "message": "took 3 ms", "model": "lenet", "ms": 1.5, "none": None, "nan": "nan"}


def test_escapes_control_characters():
    for formatter in (TextLines(), JsonLines()):
        line = formatter.format(record("got %s", NASTY, path=NASTY))
        assert line.isprintable(), line


def test_quotes_text_that_looks_like_a_field():
    line = TextLines().format(record("asked", path='x" admin=yes', other="a=b"))
    assert line.endswith(r'asked path="x\" admin=yes" other="a=b"')


def test_fields_cannot_replace_the_message():
    line = json.loads(JsonLines().format(record("real", time="never", level="none", model="m")))
    assert line["message"] == "real"
    assert line["model"] == "m"


@given(st.text(), st.dictionaries(st.sampled_from(["path", "id", "model"]), st.text()))
def test_any_text_is_one_printable_line(message: str, fields: dict[str, str]):
    assert TextLines().format(record("%s", message, **fields)).isprintable()
    line = JsonLines().format(record("%s", message, **fields))
    assert line.isprintable()
    found = json.loads(line)
    assert {key: found[key] for key in fields} == fields
    assert found["message"] == message


def test_truncates_long_text():
    for formatter in (TextLines(), JsonLines()):
        assert len(formatter.format(record("%s", "x" * 100_000, path="y" * 100_000))) < 2 * LONGEST_VALUE + 200


def test_writes_a_traceback_on_the_same_line():
    try:
        raise ValueError("no\nluck")
    except ValueError as error:
        failed = record("failed")
        failed.exc_info = (ValueError, error, error.__traceback__)
    assert "ValueError: no\\nluck" in TextLines().format(failed)
    assert json.loads(JsonLines().format(failed))["exception"].endswith("ValueError: no\nluck")


def test_filters_by_level(logged: Callable[[], str]):
    log = logging.getLogger("edgecnn.server")
    log.debug("quiet")
    log.info("loud", extra={"model": "lenet"})
    assert logged().endswith(" INFO loud model=lenet\n")
    assert "quiet" not in logged()


def test_formats_event_loop_errors_as_one_line(logged: Callable[[], str]):
    try:
        raise MemoryError
    except MemoryError:
        logging.getLogger("asyncio").exception("Fatal error\non transport")
    assert " ERROR Fatal error\\non transport exception=" in logged()
    assert logged().count("\n") == 1


def test_formats_warnings_as_log_lines(logged: Callable[[], str]):
    warnings.showwarning(CacheWarning("the compiled graph\nis not kept"), CacheWarning, "file.py", 1)
    assert logged().endswith(" WARNING the compiled graph\\nis not kept\n")


def test_logs_errors_of_threads(logged: Callable[[], str]):
    thread = threading.Thread(target=int, args=("no number",), name="counting")
    thread.start()
    thread.join()
    assert " ERROR internal error: the thread counting ended exception=" in logged()
    assert logged().count("\n") == 1


class Broken:
    def __del__(self) -> None:
        raise ValueError("no end")


def test_logs_errors_of_finalizers(logged: Callable[[], str]):
    Broken()
    assert "ValueError: no end" in logged()


def test_keeps_the_order_of_many_lines(logged: Callable[[], str]):
    for number in range(5000):
        logging.getLogger("edgecnn.server").info("%d", number)
    assert [int(line.split()[-1]) for line in logged().splitlines()] == list(range(5000))


def test_a_blocked_reader_blocks_nothing():
    read, write = os.pipe()
    configure("text", "info", fd=write)
    logger = logging.getLogger("edgecnn")
    begun = time.monotonic()
    for number in range(15_000):
        logger.info("%d", number)
    flush()
    assert time.monotonic() - begun < 20.0
    dropped = dropped_lines()
    assert 0 < dropped < 15_000
    lines: list[str] = []
    with os.fdopen(read) as reader:
        for _ in range(15_000 - dropped + 1):
            lines.append(reader.readline())
        notes = [line for line in lines if "dropped" in line]  # its place depends on when the thread ran
        assert len(notes) == 1
        assert notes[0].endswith(f" WARNING {dropped} log lines were dropped\n")
        assert [int(line.split()[-1]) for line in lines if line not in notes] == list(range(15_000 - dropped))
        logger.info("again")
        assert reader.readline().endswith(" again\n")
    assert dropped_lines() == dropped
    undo()
    os.close(write)


def test_a_non_blocking_descriptor_loses_nothing():
    read, write = os.pipe()
    os.set_blocking(write, False)
    configure("text", "info", fd=write)
    for number in range(3000):
        logging.getLogger("edgecnn").info("%d", number)
    with os.fdopen(read) as reader:
        assert [int(reader.readline().split()[-1]) for _ in range(3000)] == list(range(3000))
    undo()
    os.close(write)


def test_a_full_disk_drops_lines():
    with Path("/dev/full").open("wb", buffering=0) as full:
        configure("text", "info", fd=full.fileno())
        for _ in range(3):
            logging.getLogger("edgecnn").info("lost")
        flush()
        assert dropped_lines() == 3
        undo()


def test_logs_after_a_fork(logged: Callable[[], str]):
    logging.getLogger("edgecnn").info("before")
    flush()
    pid = os.fork()
    if pid == 0:
        logging.getLogger("edgecnn").info("in the child")
        flush()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    logging.getLogger("edgecnn").info("in the parent")
    assert [line.split(" INFO ")[1] for line in logged().splitlines()] == ["before", "in the child", "in the parent"]


def test_ignores_a_broken_log_descriptor():
    read, write = os.pipe()
    configure("json", "info", fd=write)
    os.close(read)
    logger = logging.getLogger("edgecnn")
    logger.info("to a broken pipe")
    flush()
    os.close(write)
    logger.info("to a closed descriptor")
    logger.info("%d", "not a number")
    flush()
    assert dropped_lines() == 2
    undo()


@pytest.mark.slow
def test_a_server_answers_and_ends_with_an_unread_log():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    read, write = os.pipe()
    options = ("--port", str(port), "--access-log", "--access-log-health")
    command = [sys.executable, "-m", "edgecnn", "serve", str(COMMITTED), *options]
    with subprocess.Popen(command, env=child_environment(), stderr=write) as process:
        wait_for(lambda: is_live(port))
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)) as client:
            for _ in range(12_000):
                client.request("GET", "/v2/health/live")
                assert client.getresponse().read() is not None
            client.request("GET", "/metrics")
            page = client.getresponse().read().decode()
        dropped = re.search(r"^edgecnn_log_lines_dropped_total (\S+)$", page, re.MULTILINE)
        assert dropped is not None
        assert float(dropped[1]) > 0
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
        assert time.monotonic() - begun < 10.0
    os.close(read)
    os.close(write)


def is_live(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/live") as answer:
        return answer.status == 200
    return False
