"""Reads the files in deploy/ as systemd, a shell and the command line read them."""

import configparser
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from repository import REPOSITORY

from edgecnn.cli.main import cli
from edgecnn.server.options import ServeOptions

DEPLOY = REPOSITORY / "deploy"
UNIT = DEPLOY / "systemd" / "edgecnn.service"
_OF_A_BOARD = re.compile(r"\$\(sed -n 's/\^EDGECNN_ARGS=//p' (\S+)\)")
_IMAGE = re.compile(r"(\S+/)?edgecnn:[\w.-]+")
BOARDS = sorted((DEPLOY / "boards").glob("*.env"))


def environment(file: Path) -> dict[str, str]:
    """Read an environment file as systemd does: comments, and NAME=VALUE to the end of the line."""
    lines = [line for line in file.read_text().splitlines() if line and line[0] not in "#;"]
    return dict(line.split("=", 1) for line in lines)


def unit_file(*files: Path) -> configparser.ConfigParser:
    """Read a unit and its drop-ins; fail if a key occurs twice in one file."""
    unit = configparser.ConfigParser(strict=True, interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    for file in files:
        text = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("DeviceAllow="))
        unit.read_string(text, str(file))
    return unit


def unit_command(board: Path, *, credentials: Path) -> list[str]:
    """Return the words of ExecStart as systemd expands them: `$NAME` is split at spaces, `%d` is replaced."""
    names = environment(board)
    words: list[str] = []
    for word in shlex.split(unit_file(UNIT)["Service"]["ExecStart"]):
        words += names[word[1:]].split() if word.startswith("$") else [word.replace("%d", str(credentials))]
    return words


def edgecnn_commands(script: str) -> list[list[str]]:
    """Return the edgecnn commands that a shell script runs: by name, by path, or in a container."""
    found: list[list[str]] = []
    for line in script.replace("\\\n", " ").splitlines():
        whole = _OF_A_BOARD.sub(lambda board: environment(REPOSITORY / board[1])["EDGECNN_ARGS"], line)
        lexer = shlex.shlex(whole, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words = list(lexer)
        for at, word in enumerate(words):
            is_image = _IMAGE.fullmatch(word) and "run" in words[:at]
            if word.endswith("/bin/edgecnn") or is_image or (word == "edgecnn" and at == 0):
                ends = [end for end, each in enumerate(words) if end > at and not each.strip("|&;<>")]
                found.append(["edgecnn", *words[at + 1 : min(ends, default=len(words))]])
    return [words for words in found if words[1:]]  # without arguments, an image runs its own command


def parsed(words: Sequence[str]) -> click.Context:
    """Parse a command line that begins with `edgecnn`, at any path; run nothing."""
    assert Path(words[0]).name == "edgecnn", words
    with click.Context(cli) as parent:
        return cli.commands[words[1]].make_context(words[1], list(words[2:]), parent=parent)


def serve_options(words: Sequence[str]) -> ServeOptions:
    """Return the options that `edgecnn serve` parses from a command line."""
    context = parsed(words)
    assert context.info_name == "serve"
    return ServeOptions(**{name: value for name, value in context.params.items() if name != "bundles"})
