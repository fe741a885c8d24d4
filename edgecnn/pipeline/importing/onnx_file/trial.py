"""Open an ONNX file in a child process: `python -m edgecnn.pipeline.importing.onnx_file.trial JSON`.

An untrusted file can make a library crash, hang or use all memory. In a child process, this ends with one line.
"""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import EdgecnnError, EngineError, OnnxFileError, ProofFailed, UnsupportedOperator, UsageError
from edgecnn.files.schema import SchemaError, dump, parse
from edgecnn.host.child import last_line, signal_name
from edgecnn.host.child_call import ask_child, told_error
from edgecnn.host.confinement import confine
from edgecnn.host.lifeline import die_with_parent
from edgecnn.host.resources import memory_limit
from edgecnn.pipeline.importing.onnx_file.describing import Description, describe
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.onnx_file.reading import read_onnx
from edgecnn.pipeline.importing.onnx_file.taking import Taken, take
from edgecnn.pipeline.importing.options import WeightsOptions

TIMEOUT_S = 120.0
_SECONDS_PER_BYTE = 1e-6
_MEMORY, _MEMORY_PER_BYTE = 4 << 30, 20
_LONGEST = 500
_MODULE = "edgecnn.pipeline.importing.onnx_file.trial"
_EXPECTED_ERRORS = (OnnxFileError, UnsupportedOperator, EngineError, UsageError, ProofFailed)


@dataclass(frozen=True)
class _TrialRequest:
    """What to do with a file: take it with these options, or describe it without options."""

    path: Path
    options: OnnxOptions | None
    timeout_s: float
    parent: int


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial, or the name of an error class and its message."""

    taken: Taken | None = None
    description: Description | None = None
    error: str = ""
    message: str = ""


def try_onnx(path: Path, options: OnnxOptions, *, timeout_s: float = TIMEOUT_S) -> Taken:
    """Take an ONNX file in a child process with limits on time and memory; see `taking.take`.

    Args:
        path: the file.
        options: the user's options.
        timeout_s: the limit for an empty file; a second is added for each megabyte.

    Raises:
        UsageError: an option is missing, or does not fit the graph.
        OnnxFileError, UnsupportedOperator: the file cannot be read, or edgecnn cannot take its graph; or a library
            crashed, or exceeded a limit.
        EngineError: ONNX Runtime cannot run the graph.
        ProofFailed: the activation at the end of the graph is not what its name says.
    """
    taken = _ask(path, _described(options), timeout_s).taken
    assert taken is not None
    return taken


def describe_onnx(path: Path, *, timeout_s: float = TIMEOUT_S) -> Description:
    """Describe an ONNX file in a child process; see `try_onnx` for limits and errors."""
    description = _ask(path, None, timeout_s).description
    assert description is not None
    return description


def _described(options: OnnxOptions) -> OnnxOptions:
    """Return the options that a trial needs. Thousands of labels do not fit into a command line."""
    given = options.weights
    weights = WeightsOptions(
        image_size=given.image_size,
        resize=given.resize,
        resize_mode=given.resize_mode,
        crop=given.crop,
        scores=given.scores,
    )
    return OnnxOptions(weights, options.channel_order, options.layout, options.output, options.widen)


def _ask(path: Path, options: OnnxOptions | None, timeout_s: float) -> TrialResult:
    limit_s = timeout_s + _SECONDS_PER_BYTE * _size(path)
    ended = ask_child(_MODULE, _TrialRequest(path, options, limit_s, os.getpid()), limit_s)
    if ended is None:
        raise OnnxFileError(f"{path}: the graph was not opened within {limit_s:.0f} s: it is damaged or too large")
    if ended.code:
        name = signal_name(ended.code)
        what = f"exited with code {ended.code}" if name is None else f"crashed with {name}"
        said = last_line(ended.stderr)
        raise OnnxFileError(f"{path}: a library {what} while it opened the graph{': ' if said else ''}{said or ''}")
    try:
        answer = parse(TrialResult, ended.stdout)
    except SchemaError as error:
        raise OnnxFileError(f"{path}: cannot parse the result of its trial: {error}") from None
    if answer.error:
        raise told_error(answer.error, answer.message, _EXPECTED_ERRORS)
    return answer


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # the child names the problem
        return 0


def result_of(path: Path, options: OnnxOptions | None) -> TrialResult:
    """Take a file, or describe it without options. Call this in a process whose end does no harm.

    All errors are part of the result: an untrusted file can cause any exception of protobuf, onnx and NumPy. After the
    file is read, the memory of this process is limited by its size.
    """
    try:
        file = read_onnx(path)
        limit = _MEMORY + _MEMORY_PER_BYTE * file.size_bytes
        confine(timeout_s=None, memory_bytes=min(limit, memory_limit() or limit))
        if options is None:
            return TrialResult(description=describe(file, path))
        return TrialResult(taken=take(file, options))
    except MemoryError:
        return _failed(path, OnnxFileError("the graph needs more memory than edgecnn allows for its size"))
    except EdgecnnError as error:
        return _failed(path, error)
    except Exception as error:
        return _failed(path, OnnxFileError(f"cannot open the graph: {type(error).__name__}: {str(error)[:200]}"))


def _failed(path: Path, error: EdgecnnError) -> TrialResult:
    message = " ".join(str(error).split())
    shown = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"  # names in the file may be very long
    return TrialResult(error=type(error).__name__, message=f"{path}: {shown}")


def main() -> None:
    """Run the trial from the command line, and write the answer to stdout."""
    question = parse(_TrialRequest, sys.argv[1])
    die_with_parent(question.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops this process
    confine(timeout_s=question.timeout_s, memory_bytes=memory_limit())
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print to stdout, which must contain only the answer
    found = dump(result_of(question.path, question.options))
    with os.fdopen(answer, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(found)
    os._exit(0)  # skip the engine's cleanup, which may crash


if __name__ == "__main__":
    main()
