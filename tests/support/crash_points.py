"""Runs commands in processes that are killed, or get an error, at their k-th change of the disk.

The processes are forks of one that has imported everything, so that hundreds of them take seconds. A change is a call
that creates, fills, syncs, renames or deletes something. A killed process has written half of its last write.
"""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.devices.emulation import Processor  # the emulated process itself does not import the emulator

DELETIONS = ("unlink", "rmdir")
_CHANGES = ("mkdir", "open", "write", "fsync", "rename", "replace", "symlink", *DELETIONS)


@dataclass(frozen=True)
class Crash:
    """A command, and where it fails.

    Attributes:
        command: `install`, `rollback`, `unpack` or `pack`.
        arguments: its paths.
        options: its keyword arguments.
        at: the change at which it fails, from 1; 0 for never.
        how: `kill`, or the name of the errno that the call raises.
        deletions: whether deletions may fail; they need no space.
        exchange: whether the system can exchange two folders.
    """

    command: str
    arguments: tuple[str, ...]
    options: dict[str, Any]
    at: int = 0
    how: str = "kill"
    deletions: bool = True
    exchange: bool = True


@dataclass(frozen=True)
class End:
    """The end of a command.

    Attributes:
        code: 0 for success, 1 for an error of edgecnn, 2 for another error, -9 for killed.
        message: the error's message.
        changes: the number of changes.
        result: the command's result in JSON types; None after a failure.
    """

    code: int
    message: str
    changes: int
    result: dict[str, Any] | None


class Ending:
    """The process that is forked for each command."""

    def __init__(self, processor: "Processor") -> None:
        self._process = subprocess.Popen(
            processor.command(__file__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=processor.environment() | {"OPENBLAS_NUM_THREADS": "1"},  # with threads it could not be forked safely
            text=True,
        )

    def ends(self, *crashes: Crash) -> list[End]:
        """Run commands one after the other, each in its own process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([asdict(each) for each in crashes]) + "\n")
        self._process.stdin.flush()
        return [End(**each) for each in json.loads(self._process.stdout.readline())]

    def done(self, command: str, *paths: Path, **options: Any) -> dict[str, Any]:
        """Run a command, check that it succeeds, and return its result."""
        (end,) = self.ends(Crash(command, tuple(map(str, paths)), options))
        assert end.result is not None, end.message
        return end.result

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _guarded(name: str, call: Callable[..., Any], asked: Crash, count: list[int]) -> Callable[..., Any]:
    def run(*arguments: Any, **keywords: Any) -> Any:
        if name == "open" and not arguments[1] & os.O_CREAT:
            return call(*arguments, **keywords)
        count[0] += 1
        if count[0] == asked.at:
            if name == "write":
                call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            if asked.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            code = getattr(errno, asked.how)
            raise OSError(code, os.strerror(code), *(str(a) for a in arguments[:1] if not isinstance(a, int)))
        return call(*arguments, **keywords)

    return run


def _run(asked: Crash) -> End:
    from edgecnn.archive import installing, packing, unpacking
    from edgecnn.errors import EdgecnnError
    from edgecnn.files import folder

    count = [0]
    for name in _CHANGES:
        if asked.deletions or name not in DELETIONS:
            setattr(os, name, _guarded(name, getattr(os, name), asked, count))
    exchange = _guarded("exchange", folder._exchange, asked, count)
    folder._exchange = exchange if asked.exchange else lambda first, second: False
    commands: dict[str, Callable[..., object]] = {
        "install": installing.install,
        "rollback": installing.rollback,
        "unpack": unpacking.unpack,
        "pack": packing.pack,
    }
    try:
        result = commands[asked.command](*map(Path, asked.arguments), **asked.options)
    except EdgecnnError as error:
        return End(1, str(error), count[0], None)
    except BaseException as error:
        return End(2, repr(error), count[0], None)
    return End(0, "", count[0], json.loads(json.dumps(vars(result), default=str)))


def _in_a_fork(asked: Crash) -> dict[str, Any]:
    reader, writer = os.pipe()
    write, child = os.write, os.fork()
    if child == 0:
        write(writer, json.dumps(asdict(_run(asked))).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    return json.loads(said) if said else asdict(End(os.waitstatus_to_exitcode(status), "", asked.at, None))


def main() -> None:
    """Answer each line of stdin with one line on stdout."""
    from edgecnn.archive import installing, packing  # noqa: F401

    for line in sys.stdin:
        print(json.dumps([_in_a_fork(Crash(**each)) for each in json.loads(line)]), flush=True)


if __name__ == "__main__":
    main()
