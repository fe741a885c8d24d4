"""Joins JavaScript modules into one script, for pages that are one file.

A browser does not load modules from `file:` addresses. So each module becomes a function that returns its exports, in
the order of the imports. Modules import named exports of `./NAME.js` only, in lines of the form that the pattern below
accepts; circular imports are not possible.
"""

import re
from collections.abc import Callable

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function\*?|class|const) ([\w$]+)", re.MULTILINE)
_REMAINING = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def joined(names: tuple[str, ...], read: Callable[[str], str]) -> str:
    """Return one script that runs the named modules, with all that they import.

    Args:
        names: file names of the entry modules.
        read: returns the source of a module by its file name.

    Raises:
        ValueError: a module has an import or export of another form, or a circular import.
    """
    parts: dict[str, str] = {}
    for name in names:
        _add(name, read, parts, ())
    return "\n".join(parts.values())


def _add(name: str, read: Callable[[str], str], parts: dict[str, str], importers: tuple[str, ...]) -> None:
    if name in importers:
        raise ValueError(f"circular import: {' -> '.join((*importers, name))}")
    if name in parts:
        return
    source = read(name)
    for _, imported in _IMPORT.findall(source):
        _add(imported, read, parts, (*importers, name))
    exports = [found[1] for found in _EXPORT.findall(source)]
    body = _IMPORT.sub(lambda found: f"const {{{found[1].replace(' as ', ': ')}}} = {_variable(found[2])};\n", source)
    body = _EXPORT.sub(r"\1 \2", body)
    if found := _REMAINING.search(body):
        raise ValueError(f"{name}: this form cannot be joined: {found[0]}")
    parts[name] = f"const {_variable(name)} = (() => {{\n{body}\nreturn {{ {', '.join(exports)} }};\n}})();"


def _variable(name: str) -> str:
    return "module_" + re.sub(r"\W", "_", name.removesuffix(".js"))
