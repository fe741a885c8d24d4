"""The documents: every make target, command, option and local link in them exists."""

import re

import pytest
from deployment import edgecnn_commands, parsed
from repository import REPOSITORY

from scripts.docs import FOLDERS, pages

DOCUMENTS = pages(*FOLDERS)
MAKEFILE = (REPOSITORY / "Makefile").read_text()


def test_required_documents_exist():
    names = {str(path.relative_to(REPOSITORY)) for path in DOCUMENTS}
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "exported/README.md", "calibration/README.md"} <= names


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_make_target_exists(path):
    for target in re.findall(r"\bmake ([a-z][a-z-]+)", "\n".join(code(path.read_text()))):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_command_line_parses(path):
    for block in code(path.read_text(), blocks_only=True, language="sh"):
        for words in edgecnn_commands(block):
            if not words[1].startswith("-"):
                parsed(words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_local_link_exists(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_prose_lines_have_at_most_120_characters(path):
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"\]\([^)]*\)", "]", line) for line in text.splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 120] == []


def code(text: str, *, blocks_only: bool = False, language: str = r"\w*") -> list[str]:
    """Return the code of a Markdown text: its blocks, and its inline code."""
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return blocks if blocks_only else blocks + re.findall(r"`([^`\n]+)`", text)
