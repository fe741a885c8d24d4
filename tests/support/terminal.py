"""A terminal of a given width: it runs a command and shows what its screen and scrollback show in the end."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

_SEQUENCE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]")


def run_on_terminal(command: Sequence[str], columns: int, *, stdout: Path | None = None) -> tuple[int, list[str]]:
    """Run a command on a terminal. Return its exit code and the lines on the terminal.

    Args:
        command: program and arguments.
        columns: width of the terminal.
        stdout: a file for stdout in place of the terminal.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    env = os.environ | {"TERM": "xterm-256color"}
    with Path(stdout or os.devnull).open("wb") as file:
        process = subprocess.Popen(command, stdin=slave, stdout=file if stdout else slave, stderr=slave, env=env)
    os.close(slave)
    received = b""
    while chunk := _read(master):
        received += chunk
    os.close(master)
    return process.wait(), shown(received.decode(), columns)


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux reports the end of a terminal as an error
        return b""


def shown(text: str, columns: int) -> list[str]:
    """Return the lines that a terminal without a limit on its height shows after some output."""
    lines, row, column = [""], 0, 0
    for found in _SEQUENCE.finditer(text):
        number, letter = found[1], found[2]
        if letter == "A":
            row = max(0, row - int(number or 1))
        elif letter == "K":
            lines[row] = "" if number == "2" else lines[row][:column]
        elif letter in ("m", "h", "l"):
            pass  # colours and the cursor's visibility
        elif letter is not None:
            raise AssertionError(f"unknown sequence {found[0]!r}")
        elif found[0] == "\r":
            column = 0
        elif found[0] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            if column == columns:
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            lines[row] = f"{lines[row].ljust(column)[:column]}{found[0]}{lines[row][column + 1 :]}"
            column += 1
    return [line.rstrip() for line in lines]
