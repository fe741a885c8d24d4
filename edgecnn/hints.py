"""Parts of messages: the name that was meant, the first of many names, and the command that installs an extra.

Everything is imported and read when a message is made, so that programs without errors pay nothing.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_CLOSE = 0.75
"""Least similarity of two names, as in `difflib.SequenceMatcher.ratio`. `mobilenet` and `googlenet` have 0.67."""


def did_you_mean(found: str, names: Iterable[str], *, others: Mapping[str, str] | None = None) -> str:
    """Return ` (did you mean NAME?)` with the result of `closest`; empty if no name is close."""
    return suggestion(closest(found, names, others=others))


def suggestion(name: str | None) -> str:
    """Return ` (did you mean NAME?)`; empty without a name."""
    return "" if name is None else f" (did you mean {name}?)"


def closest(found: str, names: Iterable[str], *, others: Mapping[str, str] | None = None) -> str | None:
    """Return the name that was probably meant; None if none is close.

    Case, hyphens, underscores, dots and spaces do not count. A name that begins as `found` does is close.

    Args:
        found: the unknown name.
        names: the known names, the usual one of each family first.
        others: words of other tools, and the known name of each.
    """
    import difflib

    known = {plain_name(name): name for name in names}
    known |= {plain_name(word): name for word, name in (others or {}).items()}
    word = plain_name(found)
    begun = [each for each in known if len(word) > 1 and each.startswith(word)]
    close = difflib.get_close_matches(word, known, n=1, cutoff=_CLOSE)
    longer = sorted((each for each in known if len(each) > 2 and word.startswith(each)), key=len, reverse=True)
    match = next(iter([word] if word in known else [*begun, *close, *longer]), None)
    return None if match is None else known[match]


def few(texts: Sequence[str], most: int = 3, *, separator: str = ", ") -> str:
    """Return the first `most` texts, and the number of the others: `a, b, c and 2 more`."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return separator.join(texts[:most]) + more


def shown(name: object) -> str:
    """Return a name of a file for a message: text that can be printed unchanged, and anything else quoted."""
    return name if isinstance(name, str) and name and name.isprintable() else repr(name)


def plain_name(name: str) -> str:
    """Return a name in lower case, without hyphens, underscores, dots and spaces."""
    return "".join(each for each in name.casefold() if each not in "-_. ")


def install_command(extra: str) -> str:
    """Return the pip command that installs an extra from where edgecnn was installed: a folder, wheel or repository.

    pip records this in `direct_url.json` (PEP 610, Recording the Direct URL Origin of installed distributions). Without
    a readable record, edgecnn came from a package index.
    """
    try:
        return f"pip install {_requirement(extra)}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no record, or one of another format
        return f"pip install {shlex.quote(f'edgecnn[{extra}]')}"


def _requirement(extra: str) -> str:
    import json
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        record = json.loads(distribution("edgecnn").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # edgecnn runs from a source tree that is not installed
        root = Path(__file__).parents[1]
        record = {"url": root.as_uri(), "dir_info": {"editable": True}} if (root / "pyproject.toml").is_file() else {}
    if "dir_info" in record:
        return ("-e " if record["dir_info"].get("editable") else "") + shlex.quote(f"{_path(record)}[{extra}]")
    url = record["url"]
    if "vcs_info" in record:
        url = f"{record['vcs_info']['vcs']}+{url}@{record['vcs_info']['commit_id']}"
    return shlex.quote(f"edgecnn[{extra}] @ " + url)


def _path(record: Mapping[str, str]) -> str:
    """Return the folder of a `file:` URL."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    folder = url2pathname(urlsplit(record["url"]).path)
    subdirectory = record.get("subdirectory")
    return f"{folder}/{subdirectory}" if subdirectory else folder
