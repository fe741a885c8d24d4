"""The texts of pages in English and Simplified Chinese.

Each package with pages has catalogues `words/en.json` and `words/zh.json`: one object of keys and texts. A text may
contain inline HTML and values in braces: `{count} layers`. Texts are written by edgecnn; values are escaped.

A package with pages inside another one also has the other one's texts, templates, scripts and styles.
"""

import html
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
COMMON = "edgecnn.pages"
"""The package whose catalogue every page has."""

_VALUE = re.compile(r"\{(\w+)\}")


@cache
def catalogue(package: str, language: Language) -> Mapping[str, str]:
    """Return the texts of a package, and the common ones, by their keys."""
    found: dict[str, str] = {}
    for each in sources(package):
        file = files(each) / "words" / f"{language}.json"
        found |= json.loads(file.read_text(encoding="utf-8"))
    return found


def sources(package: str) -> tuple[str, ...]:
    """Return the packages whose files a package's pages use: the common one, those around the package, and itself."""
    parts = package.split(".")
    around = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return tuple(dict.fromkeys((COMMON, *(each for each in around if (files(each) / "words").is_dir()))))


def filled(text: str, values: Mapping[str, object]) -> str:
    """Return a text with its values, which are escaped for HTML."""
    return _VALUE.sub(lambda found: html.escape(str(values[found[1]])), text)
