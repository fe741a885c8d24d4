"""Read class names from a file: one per line, or JSON in one of the forms that PyTorch projects use."""

import codecs
import json
import re
import unicodedata
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from edgecnn.errors import LabelsError, LabelsWarning, UsageError
from edgecnn.hints import few

_UNICODE = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MAPPINGS = ("id2label", "label2id", "class_to_idx", "idx_to_class")
_FORMS = "expected a list of names, or an object of indices and names such as id2label"


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names in the order of the logits, normalised to Unicode NFC.

    A text file has one name per line; blank lines at the end are ignored. A JSON file has a list of names, an object of
    indices and names in either direction, or such an object as `id2label`, `label2id`, `class_to_idx` or
    `idx_to_class`. An index may have a list of names, as in `imagenet_class_index.json`; the second is used.

    Warns:
        LabelsWarning: a name occurs twice.

    Raises:
        UsageError: the file cannot be opened.
        LabelsError: the file does not contain class names.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read --labels {path}: {getattr(error, 'strerror', None) or error}") from None
    text = _decoded(path, content)
    names = _from_json(path, text)
    labels = tuple(unicodedata.normalize("NFC", name) for name in (_lines(path, text) if names is None else names))
    repeated = [name for name, count in Counter(labels).items() if count > 1]
    try:
        "".join(labels).encode()
    except UnicodeEncodeError:
        raise LabelsError(f"{path} has a name with half a character (a lone surrogate): write it again") from None
    if repeated:
        warnings.warn(f"{path} has names more than once: {few([*map(repr, repeated)])}", LabelsWarning, stacklevel=2)
    return labels


def _decoded(path: Path, content: bytes) -> str:
    encoding = next((name for mark, name in _UNICODE.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise LabelsError(f"{path} is not text in UTF-8 (line {line}): save it as UTF-8") from None
    if "\0" in text:
        raise LabelsError(f"{path} has zero bytes: expected text in UTF-8; save it as UTF-8")
    if not text.strip():
        raise LabelsError(f"{path} is empty: expected one class name per line")
    return text


def _lines(path: Path, text: str) -> list[str]:
    """Return the lines of a text file, without space around them."""
    if path.suffix.lower() in (".csv", ".tsv"):
        raise LabelsError(f"{path} is a table: save the column of class names alone, without a header, as a .txt file")
    names = [line.strip() for line in re.split(r"\r\n|\r|\n", text.rstrip())]
    if "" in names:
        raise LabelsError(f"{path} has no name in line {names.index('') + 1}: expected one class name per line")
    numbered = any(
        all(re.match(rf"{index}[,;:]\s*\S", name) for index, name in enumerate(names, first)) for first in (0, 1)
    )
    if numbered or any("\t" in name for name in names):
        raise LabelsError(f"{path} has more than a name in each line: expected the class name alone")
    return names


def _from_json(path: Path, text: str) -> list[str] | None:
    """Return the names of a JSON document; None if the file is plain text."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if path.suffix.lower() == ".json":
            raise LabelsError(f"{path} is not valid JSON: {error}") from None
        return None
    if path.suffix.lower() != ".json" and not isinstance(document, list | dict):
        return None  # a file with the one line `7` or `"cat"`
    names = _ordered(path, document) if isinstance(document, dict) else document
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise LabelsError(f"{path} does not contain class names: {_FORMS}")
    names = [name.strip() for name in names]
    if "" in names:
        raise LabelsError(f"{path} has no name for the class {names.index('')}")
    return names


def _ordered(path: Path, document: dict[str, Any]) -> list[Any]:
    """Return the names of an object of indices and names, in the order of the indices."""
    mapping = next((document[name] for name in _MAPPINGS if isinstance(document.get(name), dict)), document)
    if all(type(value) is int for value in mapping.values()):
        pairs = [(index, name) for name, index in mapping.items()]
    elif all(re.fullmatch(r"\d{1,9}", key) for key in mapping):
        pairs = [(int(index), name) for index, name in mapping.items()]
    else:
        raise LabelsError(f"{path} does not contain class names: {_FORMS}")
    indices = sorted(index for index, _ in pairs)
    if indices != list(range(len(pairs))):
        wrong = next(index for place, index in enumerate(indices) if index != place)
        raise LabelsError(f"{path} must have each index from 0 to {len(pairs) - 1} once, found {wrong} out of turn")
    names = dict(pairs)
    return [_second(names[index]) for index in indices]


def _second(value: Any) -> Any:
    """Return the name in a pair of a WordNet number and a name."""
    return value[1] if isinstance(value, list) and len(value) == 2 else value
