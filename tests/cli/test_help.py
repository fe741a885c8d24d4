"""Tests of the help texts."""

from collections.abc import Callable

import pytest

from edgecnn.cli.main import cli


def test_lists_every_command(edgecnn: Callable):
    lines = edgecnn("--help").out.splitlines()
    for name in cli.commands:
        assert any(line.strip().startswith(f"{name} ") and "->" in line for line in lines) or name == "models"
    assert "\b" not in "".join(lines)


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_option_has_a_help_text(edgecnn: Callable, command: str):
    result = edgecnn(command, "--help")
    assert result.code == 0
    assert "\\b" not in result.out
    for parameter in cli.commands[command].params:
        assert getattr(parameter, "help", "") != "", f"{command} {parameter.name}"
