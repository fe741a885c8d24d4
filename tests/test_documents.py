"""The documents: every target, command and option that they name is there."""

import re
import shlex

import click
import pytest
from conftest import REPOSITORY

from edgecnn.cli.main import cli

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "exported/*.md", "calibration/*.md", "deploy/*.md", "benchmarks/*.md")
    for path in REPOSITORY.glob(pattern)
)
MAKEFILE = (REPOSITORY / "Makefile").read_text()


def test_the_documents_are_there():
    names = {str(path.relative_to(REPOSITORY)) for path in DOCUMENTS}
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "exported/README.md", "calibration/README.md"} <= names


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_make_target_that_a_document_names_exists(path):
    for target in re.findall(r"\bmake ([a-z][a-z-]+)", "\n".join(code(path.read_text()))):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_command_line_in_a_document_parses(path):
    for line in "\n".join(code(path.read_text(), blocks_only=True)).replace("\\\n", " ").splitlines():
        if not line.strip().startswith("edgecnn "):
            continue
        words = shlex.split(re.split(r"\s[>|]\s", line)[0], comments=True)[1:]
        if words[0].startswith("-"):
            continue
        command = cli.commands[words[0]]
        with click.Context(cli) as parent:
            command.make_context(words[0], words[1:], parent=parent, resilient_parsing=False)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_local_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def code(text: str, *, blocks_only: bool = False) -> list[str]:
    """The code of a Markdown text: its blocks, and what stands between backticks."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return blocks if blocks_only else blocks + re.findall(r"`([^`\n]+)`", text)
