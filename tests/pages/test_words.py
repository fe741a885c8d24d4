"""The texts of all pages in both languages."""

import json
import re
from pathlib import Path

import pytest
from repository import REPOSITORY

from edgecnn.pages.words import LANGUAGES, catalogue, filled

PACKAGES = sorted(path.parent for path in (REPOSITORY / "edgecnn").rglob("words") if path.is_dir())
NAMES = [".".join(path.relative_to(REPOSITORY).parts) for path in PACKAGES]
USED = (
    r"""(?<![\w.])(?:t|text)\(\s*["']([a-z][\w.]*\w)["']""",  # a key that ends in a dot is a prefix
    r"""data-t(?:-aria-label|-title|-placeholder|-alt)?=["']([a-z][\w.]+)["']""",
    r"""["']data-t(?:-aria-label|-title|-placeholder|-alt)?["']: ["']([a-z][\w.]+)["']""",
    r"title_key %\}([\w.]+)\{%",
)
TAGS = re.compile(r"<(/?)(\w+)[^>]*>")


def words(package: Path, language: str) -> dict[str, str]:
    pairs = json.loads((package / "words" / f"{language}.json").read_text(), object_pairs_hook=list)
    assert len(dict(pairs)) == len(pairs), "a key is there twice"
    return dict(pairs)


@pytest.mark.parametrize("package", PACKAGES, ids=NAMES)
def test_both_languages_have_the_same_texts(package: Path):
    english, chinese = (words(package, language) for language in LANGUAGES)
    assert list(english) == list(chinese)
    for key, text in english.items():
        other = chinese[key]
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", other)), key
        assert sorted(TAGS.findall(text)) == sorted(TAGS.findall(other)), key
        assert text.strip(), key
        assert other.strip(), key


@pytest.mark.parametrize("name", NAMES)
def test_every_used_text_exists(name: str):
    package = REPOSITORY.joinpath(*name.split("."))
    known = catalogue(name, "en")
    files = [
        path for kind in ("static", "templates") for path in (package / kind).glob("*.*") if path.suffix != ".json"
    ]
    found = {key for path in files for pattern in USED for key in re.findall(pattern, path.read_text())}
    assert found <= set(known)


@pytest.mark.parametrize("name", NAMES)
def test_every_text_is_used(name: str):
    package = REPOSITORY.joinpath(*name.split("."))
    texts = [path.read_text() for kind in ("*.js", "*.html", "*.py") for path in package.rglob(kind)]
    every = "\n".join(texts)
    whole = {key for key in words(package, "en") if not re.search(rf"""["'`%}}]{re.escape(key)}["'`{{]""", every)}
    # Keys may be assembled from a prefix and a name: `t(`explain.kind.${operation}`)`.
    prefixes = tuple(re.findall(r"[`\"']([\w.]+[._])(?:\$\{|[\"'] *[+~])", every))
    assert [key for key in whole if not key.startswith(prefixes)] == []


def test_values_are_escaped():
    assert filled("{a} of <b>{b}</b>", {"a": "<i>", "b": 3}) == "&lt;i&gt; of <b>3</b>"
