"""Words that name a network: an architecture, a network of torchvision or timm, or a factory in Python code.

Imports nothing heavy, because the command line checks words before PyTorch is imported.
"""

import re
from pathlib import Path

PACKAGES = ("torchvision", "timm")
"""Packages whose networks have names: `torchvision:NAME` and `timm:NAME`."""

_FACTORY = re.compile(r"[^:]+:[A-Za-z_][A-Za-z_0-9.]*")


def is_packaged(word: str) -> bool:
    """Return whether a word is `torchvision:NAME` or `timm:NAME`."""
    return word.startswith(tuple(f"{package}:" for package in PACKAGES))


def is_factory(word: str) -> bool:
    """Return whether a word has the form `package.module:factory` or `file.py:factory`."""
    return _FACTORY.fullmatch(word) is not None and not is_packaged(word)


def recorded_name(word: str) -> str:
    """Return the name of a factory for records, without the folders of a file."""
    place, _, attribute = word.rpartition(":")
    return f"{Path(place).name}:{attribute}" if place.endswith(".py") else word
