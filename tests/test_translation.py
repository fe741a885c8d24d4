"""The Chinese README has the sections, commands, links and figures of the English one."""

import re

import pytest
from repository import REPOSITORY

ENGLISH, CHINESE = ((REPOSITORY / name).read_text() for name in ("README.md", "README.zh-CN.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    return BLOCK.sub("", text)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ .*$", prose(text), re.MULTILINE)


def sections(text: str) -> list[str]:
    """Return the prose of each section, without its heading."""
    return re.split(r"^#+ .*$", prose(text), flags=re.MULTILINE)


def code(text: str) -> list[tuple[str, str]]:
    """Return language and content of each code block, without comments."""
    return [(language, re.sub(r" +# .*", "", block)) for language, block in BLOCK.findall(text)]


def links(text: str) -> list[tuple[str, str]]:
    """Return the target of each link in brackets, or each address in angle brackets."""
    return re.findall(r"\]\(([^)\s]+)\)|<(https?://[^>]+)>", text)


def cells(text: str) -> list[list[str]]:
    """Return the numbers in each cell of each row of the tables."""
    rows = [row.strip("|").split("|") for row in re.findall(r"^\|.*\|$", text, re.MULTILINE)]
    return [[" ".join(sorted(numbers(cell))) for cell in row] for row in rows]


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:[.,]\d+)*(?:e-\d+)?", re.sub(r"\]\([^)]*\)", "]", text))


def test_headings_have_the_same_levels_in_the_same_order():
    english, chinese = headings(ENGLISH), headings(CHINESE)
    assert [len(each.split()[0]) for each in chinese] == [len(each.split()[0]) for each in english]
    assert not set(chinese[1:]) & set(english)


def test_code_blocks_are_equal_but_for_comments():
    assert code(CHINESE) == code(ENGLISH)


@pytest.mark.parametrize("number", range(len(headings(ENGLISH)) + 1))
def test_a_section_has_the_same_code_links_and_figures(number: int):
    english, chinese = sections(ENGLISH)[number], sections(CHINESE)[number]
    inline = r"`[^`]+`"
    assert sorted(re.findall(inline, chinese)) == sorted(re.findall(inline, english))
    own = {("README.md", ""), ("README.zh-CN.md", "")}
    assert [link for link in links(chinese) if link not in own] == [link for link in links(english) if link not in own]
    assert sorted(numbers(chinese)) == sorted(numbers(english))
    assert cells(chinese) == cells(english)


def test_the_readmes_link_to_each_other():
    assert "](README.zh-CN.md)" in ENGLISH
    assert "](README.md)" in CHINESE
