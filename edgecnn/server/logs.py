"""Log lines on stderr, as text or JSON; each record is one line, and the items of its `extra` are fields.

No thread waits for the reader of the log: a separate thread writes, and lines beyond its bounds are dropped.
"""

import json
import logging
import math
import os
import sys
import threading
import warnings
from datetime import UTC, datetime
from typing import Any, TextIO

from edgecnn.errors import EdgecnnWarning
from edgecnn.server.log_writer import LogWriter
from edgecnn.server.options import LogFormat, LogLevel

LOGGER = "edgecnn"
_OTHERS = ("asyncio", "grpc")
"""Loggers of the event loop and of gRPC, so that their tracebacks are single lines too."""

LONGEST_VALUE = 4000
"""Maximum length of a text in characters; longer ones are cut."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(log_format: LogFormat, level: LogLevel, *, fd: int = 2) -> None:
    """Send this process's log records, warnings and uncaught errors to a descriptor, by default stderr's.

    The process calls `flush` before it ends.

    Pillow's warnings are ignored: images from clients could cause any number of lines, and Python stores the text of
    each warning. The response describes the error in an image.
    """
    handler = _Handler(fd, JsonLines() if log_format == "json" else TextLines())
    for name in (LOGGER, *_OTHERS):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
    warnings.showwarning = _log_warning
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_unraisable
    warnings.filterwarnings("ignore", module=r"PIL\.")


def flush() -> None:
    """Wait until the lines so far are written, for at most a second."""
    for handler in _handlers():
        handler.writer.flush()


def dropped_lines() -> int:
    """Return the number of lines that this process has dropped."""
    return sum(handler.writer.dropped for handler in _handlers())


def escaped(text: str) -> str:
    """Return a text without characters that move the cursor, end the line or change the direction of writing."""
    text = _shortened(text)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text).replace("\x7f", "\\u007f")


class TextLines(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line."""
        fields = "".join(f" {key}={_quoted(value)}" for key, value in _fields(record).items())
        return f"{_time(record)} {record.levelname} {escaped(record.getMessage())}{fields}"


class JsonLines(logging.Formatter):
    """`{"time": "2026-01-31T12:00:00.000Z", "level": "info", "message": …, …}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one object on one line, ASCII only."""
        line = {key: _plain(value) for key, value in _fields(record).items()}
        line = {"time": _time(record), "level": record.levelname.lower(), "message": ""} | line
        line["message"] = _shortened(record.getMessage())
        # JSON escapes all control characters but this one.
        return json.dumps(line).replace("\x7f", "\\u007f")


class _Handler(logging.Handler):
    """Formats each record and passes it to the writer."""

    def __init__(self, fd: int, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.writer = LogWriter(fd, self._note)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record."""
        try:
            self.writer.put(self._line(record))
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Ignore an error of the handler, since it cannot be reported."""

    def _line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode(errors="backslashreplace")

    def _note(self, dropped: int) -> bytes:
        args = (dropped, "line was" if dropped == 1 else "lines were")
        return self._line(logging.LogRecord(LOGGER, logging.WARNING, "", 0, "%d log %s dropped", args, None))


def _handlers() -> list[_Handler]:
    return [handler for handler in logging.getLogger(LOGGER).handlers if isinstance(handler, _Handler)]


def _restart() -> None:
    for handler in _handlers():
        handler.writer.restart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    if record.exc_info and record.exc_info[0] is not None:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


def _quoted(value: Any) -> str:
    """Return a value in quotes if it could look like another field."""
    text = str(value)
    plain = text.isascii() and text.isprintable() and not set(text) & set(' "=\\') and len(text) <= LONGEST_VALUE
    return text if plain and text else json.dumps(_shortened(text)).replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _shortened(str(value))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _log_warning(  # noqa: PLR0917  # as `warnings` calls it
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    where = {} if issubclass(category, EdgecnnWarning) else {"category": category.__name__}
    logging.getLogger(LOGGER).warning("%s", message, extra=where)


def _log_thread(arguments: threading.ExceptHookArgs) -> None:
    """Log an error that ended a thread, as `threading.excepthook`."""
    if arguments.exc_type is not SystemExit and arguments.exc_value is not None:
        name = arguments.thread.name if arguments.thread else "unknown"
        logging.getLogger(LOGGER).error("internal error: the thread %s ended", name, exc_info=arguments.exc_value)


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Log an error that no caller can receive, such as that of a finalizer, as `sys.unraisablehook`."""
    message = unraisable.err_msg or "exception ignored in"
    logging.getLogger(LOGGER).error("%s %r", message, unraisable.object, exc_info=unraisable.exc_value)
