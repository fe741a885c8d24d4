"""The output of `edgecnn predict`: lines, a table, JSON Lines or CSV."""

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecnn.bundle.formats import SUFFIXES
from edgecnn.cli.output import columns, counted, emit, emit_json_line, printable, warn
from edgecnn.errors import ImageError, UnknownFormat
from edgecnn.files.file import write_file
from edgecnn.hints import few
from edgecnn.runtime.rates import percent

if TYPE_CHECKING:
    from edgecnn.bundle.manifest import Scores
    from edgecnn.cli.predict_images import ChosenImage
    from edgecnn.prediction import Prediction

_CSV_COLUMNS = ("image", "label", "probability", "labels", "unsure", "stage", "top", "error")


@dataclass(frozen=True)
class Answer:
    """The answer to an image, or why it cannot be read; `origin` names the bundle and what ran it."""

    prediction: "Prediction | ImageError"
    scores: "Scores"
    origin: Mapping[str, str | int]


class PredictOutput:
    """Prints each answer at once, or all of them at the end as a table or a CSV file."""

    def __init__(self, images: int, *, csv: Path | None, as_json: bool) -> None:
        """Choose the form: a table for several images on a terminal, and lines elsewhere."""
        self._csv, self._as_json = csv, as_json
        self._is_table = images > 1 and _is_terminal()
        self._rows: list[dict[str, Any]] = []
        self._left_out: list[str] = []
        self._stages: Counter[str] = Counter()
        self.bad = 0

    def add(self, image: "ChosenImage", answer: Answer) -> None:
        """Print or keep an answer. A file in a folder that is not an image is left out."""
        found = answer.prediction
        is_meant = image.is_named or image.path.suffix.lower() in SUFFIXES
        if isinstance(found, UnknownFormat) and not is_meant:
            self._left_out.append(str(image.path))
            return
        if isinstance(found, ImageError):
            self.bad += 1
            click.echo(f"error: {printable(str(found))}", err=True)
        elif found.stage is not None:
            self._stages[found.stage] += 1
        if self._csv is not None:
            self._rows.append(_csv_row(image.path, answer))
        if self._as_json:
            emit_json_line(_document(image.path, answer))
        elif self._csv is not None or isinstance(found, ImageError):
            return
        elif self._is_table:
            self._rows.append(_table_row(image.path, found, answer.scores))
        else:
            emit(None, _line(image.path, found, answer.scores), as_json=False)

    def finish(self, *, strict: bool) -> None:
        """Print what follows the answers.

        Raises:
            EdgecnnError: the CSV file cannot be written, or files are left out and `strict` is set.
        """
        if self._csv is not None:
            write_file(self._csv, _csv(self._rows))
        if not self._as_json:
            for line in self._last_lines():
                click.echo(line)
        if self._left_out:
            warn(f"{counted(len(self._left_out), 'file')} left out, not images: {few(self._left_out)}", strict=strict)

    def _last_lines(self) -> Iterator[str]:
        if self._csv is not None:
            yield f"{counted(len(self._rows), 'image')}: {self._csv}"
        elif self._rows:
            names = [name for name in self._rows[0] if any(row[name] for row in self._rows)]
            table = [names, *([row[name] for name in names] for row in self._rows)]
            yield columns(table, right=(names.index("probability"),), optional=(len(names) - 1,))
        stages = self._stages
        if stages.total() > 1:
            share = percent(stages["accurate"] / stages.total())
            yield f"run again by the accurate graph: {stages['accurate']} of {stages.total()} images ({share})"


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _document(image: Path, answer: Answer) -> dict[str, Any]:
    """Return an answer for JSON."""
    found = answer.prediction
    if isinstance(found, ImageError):
        return {"image": str(image), "error": str(found)}
    return {
        "image": str(image),
        "label": found.label,
        "index": found.index,
        "top": [{"label": label, "probability": probability} for label, probability in found.top],
        "labels": list(found.labels),
        "unsure": found.unsure,
        **({} if found.stage is None else {"stage": found.stage}),
        **answer.origin,
    }


def _csv_row(image: Path, answer: Answer) -> dict[str, Any]:
    found = answer.prediction
    if isinstance(found, ImageError):
        return {"image": image, "error": found}
    return {
        "image": image,
        "label": found.label,
        "probability": found.probability,
        "labels": ";".join(found.labels),
        "unsure": str(found.unsure).lower(),
        "stage": found.stage or "",
        "top": ";".join(f"{label}={probability:.6g}" for label, probability in found.top),
    }


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _CSV_COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _table_row(image: Path, found: "Prediction", scores: "Scores") -> dict[str, str]:
    own = found.labels if scores.multi_label else (found.label,)
    probabilities = dict(found.top)
    return {
        "image": str(image),
        "label": few(own) or "no label",
        "probability": f"{found.probability:.1%}",
        "note": ", ".join(filter(None, ("unsure" if found.unsure else "", found.stage))),
        "next": _listed([each for each in probabilities.items() if each[0] not in own][:2]),
    }


def _line(image: Path, found: "Prediction", scores: "Scores") -> str:
    text = _several(found) if scores.multi_label else _listed(found.top)
    end = "" if found.stage is None else f" ({found.stage})"
    return f"{image}: {'unsure: ' if found.unsure else ''}{text}{end}"


def _listed(ranked: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{label} {probability:.1%}" for label, probability in ranked)


def _several(prediction: "Prediction") -> str:
    """Return the labels of an image, and the most probable labels that it does not have."""
    count, shown = len(prediction.labels), len(prediction.top)
    own = _listed(prediction.top[:count]) or "no label"
    more = f" and {count - shown} more" if count > shown else ""
    others = f"; below the threshold: {_listed(prediction.top[count:])}" if count < shown else ""
    return f"{own}{more}{others}"
