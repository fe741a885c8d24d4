"""Every edgecnn command in deploy/ is one that the command line accepts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from containers import last
from deployment import BOARDS, DEPLOY, UNIT, edgecnn_commands, parsed, unit_command

FOLDERS = sorted(path for path in DEPLOY.iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_folder_has_a_linked_readme(folder: Path):
    assert (folder / "README.md").exists()
    assert f"({folder.name}/README.md)" in (DEPLOY / "README.md").read_text()


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("**/*.Containerfile")), ids=lambda file: file.stem)
def test_the_command_of_an_image_parses(file: Path):
    words = [*last(file, "ENTRYPOINT").words, *last(file, "CMD").words]
    assert words[1] == "--help" or parsed(words).params["host"] == "0.0.0.0"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)
def test_the_command_of_the_unit_parses(board: Path, tmp_path: Path):
    assert list(DEPLOY.glob("**/*.service")) == [UNIT]
    assert parsed(unit_command(board, credentials=tmp_path)).info_name == "serve"


def containers(document: Any) -> Iterator[Any]:
    """Yield every container in a manifest, at any depth."""
    if isinstance(document, dict):
        yield from document.get("containers", [])
    for value in document.values() if isinstance(document, dict) else document if isinstance(document, list) else []:
        yield from containers(value)


def test_the_arguments_of_every_container_parse():
    found = [each for file in DEPLOY.glob("**/*.yaml") for each in containers(yaml.safe_load(file.read_text()))]
    assert len(found) >= 2
    for each in found:
        assert "command" not in each  # the image's entry point remains: edgecnn
        parsed(["edgecnn", *each["args"]])


def test_finds_commands_in_shell_scripts():
    script = """
    edgecnn models | head -1   # a comment
    sudo /opt/edgecnn/bin/edgecnn verify \\
      /srv/edgecnn/models/a && echo done
    python3 -m venv /opt/edgecnn
    docker run --rm --name edgecnn a.example.com/edgecnn:1.0 serve /models > log
    docker build --tag edgecnn:1.0 .
    docker run edgecnn:1.0 serve $(sed -n 's/^EDGECNN_ARGS=//p' deploy/boards/generic-x86.env)
    """
    assert edgecnn_commands(script) == [
        ["edgecnn", "models"],
        ["edgecnn", "verify", "/srv/edgecnn/models/a"],
        ["edgecnn", "serve", "/models"],
        ["edgecnn", "serve", "--engine", "auto", "--device", "cpu"],
    ]
