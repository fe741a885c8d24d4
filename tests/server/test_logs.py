"""One record is one line, whatever text clients send."""

import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.errors import CacheWarning
from edgecnn.server.logs import LONGEST_VALUE, JsonLines, TextLines, configure

NASTY = "a\nb\r\x1b[31m\x00\x7f\x85\u2028\u202e\ud800 ü"


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("edgecnn.server", logging.INFO, "file.py", 1, message, arguments, None)
    vars(made).update(fields)
    return made


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Configure logging to a file, and undo it afterwards."""
    fd = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    logger, show = logging.getLogger("edgecnn"), warnings.showwarning
    configure("text", "info", fd=fd)
    yield (tmp_path / "log").read_text
    warnings.showwarning = show
    for each in (logger, logging.getLogger("asyncio")):
        each.handlers, each.propagate = [], True
        each.setLevel(logging.NOTSET)
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


def test_ignores_a_broken_log_descriptor():
    read, write = os.pipe()
    logger, show = logging.getLogger("edgecnn"), warnings.showwarning
    try:
        configure("json", "info", fd=write)
        os.close(read)
        logger.info("to a broken pipe")
        os.close(write)
        logger.info("to a closed descriptor")
        logger.info("%d", "not a number")
    finally:
        warnings.showwarning = show
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)
