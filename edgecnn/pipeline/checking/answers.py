"""Read the user's own answers to images: a CSV file or an npz archive."""

import csv
import io
import unicodedata
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edgecnn.bundle.manifest import Scores
from edgecnn.errors import AnswersError, UsageError
from edgecnn.hints import few

Kind = Literal["labels", "logits", "probabilities"]
FORMS = (
    "a CSV file with the columns `path` and `label`, or `path` and one column for each class; or an npz archive with "
    "`paths`, and `labels`, `logits` or `probabilities`"
)
_MOST_BYTES = 1 << 30
_SUM_TOLERANCE = 0.02
"""Allowed difference of the sum of probabilities from 1: they may be rounded to a few digits."""


@dataclass(frozen=True)
class Answers:
    """The user's answers to N images.

    Attributes:
        file: the file that they come from.
        paths: the images.
        kind: what `values` are.
        values: labels int64 [N], or logits or probabilities float64 [N, K].
    """

    file: Path
    paths: tuple[Path, ...]
    kind: Kind
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)


def read_answers(path: Path, labels: Sequence[str], scores: Scores) -> Answers:
    """Read answers. Paths in the file are relative to its folder.

    Class names match after Unicode normalization (NFC). The values of a CSV file are probabilities if all are in
    0..1, and for softmax the values of an image sum to 1; otherwise they are logits. A network with two classes may
    have one column or value for each image: of the second class.

    Args:
        path: the file; see `FORMS`. A zip archive is read as npz, any other file as CSV.
        labels: class names of the network.
        scores: how its logits become scores.

    Raises:
        UsageError: the file cannot be opened.
        AnswersError: the file does not contain answers of this network, or an image does not exist.
    """
    content = _content(path)
    read = _read_npz if content.startswith(b"PK") else _read_csv
    names, kind, values = read(path, content, labels, scores)
    if kind != "labels":
        values = _checked(path, kind, values, labels, scores)
    elif scores.multi_label:
        raise AnswersError(f"{path} has one label for each image, but the network has several: give probabilities")
    paths = tuple(path.parent / name for name in names)
    missing = [name for name, each in zip(names, paths, strict=True) if not _is_file(each)]
    if missing:
        raise AnswersError(
            f"{path} names {len(missing)} of {len(paths)} images that do not exist ({few(missing)}): paths are "
            f"relative to {path.parent}"
        )
    return Answers(path, paths, kind, values)


def check_openable(path: Path) -> None:
    """Check that a file of answers can be opened, before the work that precedes its use.

    Raises:
        UsageError: it cannot.
    """
    _content(path, most=1)


def _content(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read --expect {path}: {getattr(error, 'strerror', None) or error}") from None


def _read_csv(path: Path, content: bytes, labels: Sequence[str], scores: Scores) -> tuple[list[str], Kind, np.ndarray]:
    header, rows = _table(path, content)
    names = [row[header.index("path")].strip() for _, row in rows]
    columns = [_normal(each) for each in header if each not in ("path", "label")]
    if not columns:
        texts = [row[header.index("label")].strip() for _, row in rows]
        return names, "labels", _indices(path, texts, labels)
    if "label" in header:
        raise AnswersError(f"{path} has the column `label` and columns of classes: keep one of them")
    order, cells = _class_columns(path, columns, labels), [i for i, name in enumerate(header) if name != "path"]
    values = np.array([[_number(path, line, row[i]) for i in cells] for line, row in rows], np.float64)[:, order]
    inside = bool(((values >= 0) & (values <= 1)).all())
    sums = scores.activation == "sigmoid" or len(order) == 1 or _sum_to_one(values).all()
    return names, "probabilities" if inside and sums else "logits", values


def _table(path: Path, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header of a CSV file, and the other rows with their line numbers."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnswersError(f"{path} is not text in UTF-8 (byte {error.start}): expected {FORMS}") from None
    if not text.strip():
        raise AnswersError(f"{path} is empty: expected {FORMS}")
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise AnswersError(f"{path} is not a CSV file: {error}; expected {FORMS}") from None
    header = [cell.strip() for cell in rows[0][1]]
    twice = {cell for cell in header if header.count(cell) > 1}
    if "path" not in header or len(header) < 2:
        raise AnswersError(f"{path} has the columns {few(header)}: expected `path` and `label`, or `path` and classes")
    if twice:
        raise AnswersError(f"{path} has the column {min(twice)!r} more than once: keep one of them")
    if len(rows) == 1:
        raise AnswersError(f"{path} has a header and no answers: expected one line for each image")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise AnswersError(f"{path} has {len(row)} cells in line {line}, expected {len(header)} as in its header")
    return header, rows[1:]


def _class_columns(path: Path, columns: list[str], labels: Sequence[str]) -> list[int]:
    """Return the position of each class among the columns."""
    names = [_normal(label) for label in labels]
    for expected in (names, [str(index) for index in range(len(labels))], names[1:] if len(names) == 2 else names):
        if set(columns) == set(expected) and len(columns) == len(expected):
            return [columns.index(name) for name in expected]
    missing = [name for name in names if name not in columns]
    unknown = [name for name in columns if name not in names]
    problems = [
        f"{what} {few(found)}" for what, found in (("no column for", missing), ("unknown columns", unknown)) if found
    ]
    raise AnswersError(
        f"{path} has {'; '.join(problems) or 'other classes'}: expected `path` and `label`, or `path` and one column "
        f"for each of the {len(labels)} classes of the network"
    )


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AnswersError(f"{path} has {text!r} in line {line}: expected a number") from None


def _indices(path: Path, texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Return the class of each label: a name or an index."""
    names = [_normal(label) for label in labels]
    known = {str(index): index for index in range(len(labels))} | {name: i for i, name in enumerate(names)}
    twice = {name for name in names if names.count(name) > 1} - {str(index) for index in range(len(labels))}
    unknown = [text for text in dict.fromkeys(texts) if _normal(text) not in known]
    if unknown:
        raise AnswersError(
            f"{path} has the labels {few([*map(repr, unknown)])}, which the network does not have: expected names "
            f"such as {few(labels)}, or indices from 0 to {len(labels) - 1}"
        )
    ambiguous = [text for text in texts if _normal(text) in twice]
    if ambiguous:
        raise AnswersError(f"{path} has the label {ambiguous[0]!r}, the name of several classes: use indices")
    return np.array([known[_normal(text)] for text in texts], np.int64)


def _read_npz(path: Path, content: bytes, labels: Sequence[str], scores: Scores) -> tuple[list[str], Kind, np.ndarray]:
    arrays = _arrays(path, content)
    kinds: list[Kind] = [kind for kind in ("labels", "logits", "probabilities") if kind in arrays]
    if "paths" not in arrays or len(kinds) != 1 or len(arrays) != 2:
        raise AnswersError(
            f"{path} has the arrays {few(sorted(arrays)) or 'none'}: expected `paths`, and one of `labels`, `logits` "
            f"and `probabilities`"
        )
    paths, values = arrays["paths"], arrays[kinds[0]]
    if paths.dtype.kind != "U" or paths.ndim != 1 or not len(paths):
        raise AnswersError(f"{path}: `paths` must be strings [N], found {paths.dtype} {list(paths.shape)}")
    if len(paths) != len(np.atleast_1d(values)):
        raise AnswersError(f"{path} has {len(paths)} paths and {len(np.atleast_1d(values))} {kinds[0]}")
    names = [str(name) for name in paths]
    if kinds[0] == "labels":
        if values.ndim != 1 or values.dtype.kind not in "Uiu":
            raise AnswersError(
                f"{path}: `labels` must be names or indices [N], found {values.dtype} {list(values.shape)}"
            )
        return names, "labels", _indices(path, [str(value) for value in values], labels)
    if values.dtype.kind not in "fiu" or values.ndim > 2:
        raise AnswersError(f"{path}: `{kinds[0]}` must be numbers [N, K], found {values.dtype} {list(values.shape)}")
    return names, kinds[0], values.astype(np.float64).reshape(len(paths), -1)


def _arrays(path: Path, content: bytes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MOST_BYTES:
            raise AnswersError(f"{path} unpacks to {size:,} bytes, expected at most {_MOST_BYTES:,}")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, MemoryError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:150]
        if "allow_pickle" in reason:
            reason = "it has Python objects, which are not loaded; save `paths` as an array of strings"
        raise AnswersError(f"{path} is not an npz archive of plain arrays: {reason}") from None
    strange = [name for name, value in found.items() if not isinstance(value, np.ndarray)]
    if strange:
        raise AnswersError(f"{path} has {strange[0]!r}, which is not an array: expected {FORMS}")
    return found


def _checked(path: Path, kind: Kind, values: np.ndarray, labels: Sequence[str], scores: Scores) -> np.ndarray:
    """Check logits or probabilities, and return them as [N, K]."""
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise AnswersError(f"{path} has values that are not finite, for image {row + 1}: expected numbers")
    is_softmax = scores.activation == "softmax"
    if kind == "probabilities" and not ((values >= 0) & (values <= 1)).all():
        raise AnswersError(f"{path} has probabilities outside 0..1: save them as `logits` if they are")
    if values.shape[1] == 1 and len(labels) == 2 and is_softmax:
        other = 1 - values if kind == "probabilities" else np.zeros_like(values)
        values = np.concatenate([other, values], axis=1)
    if values.shape[1] != len(labels):
        raise AnswersError(f"{path} has {values.shape[1]} values for each image, the network has {len(labels)} classes")
    if kind == "probabilities" and is_softmax and not _sum_to_one(values).all():
        row = int(np.flatnonzero(~_sum_to_one(values))[0])
        raise AnswersError(
            f"{path} has probabilities that sum to {values[row].sum():.3g} for image {row + 1}, expected 1"
        )
    return values


def _sum_to_one(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.abs(values.sum(axis=1) - 1) <= _SUM_TOLERANCE
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or has a zero byte
        return False


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())
