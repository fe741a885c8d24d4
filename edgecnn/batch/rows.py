"""The rows of a job's output, and the bytes of a shard as Parquet or JSON Lines."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgecnn.batch.options import Format
from edgecnn.batch.plan import Entry
from edgecnn.bundle.manifest import Scores
from edgecnn.errors import ImageError, MissingExtra
from edgecnn.hints import install_command
from edgecnn.prediction import margin_per_image, prediction_of
from edgecnn.runtime.images import BatchResult

Row = dict[str, Any]


def rows_of(
    entries: Sequence[Entry],
    found: BatchResult,
    labels: Sequence[str],
    scores: Scores,
    *,
    top: int,
    path_of: Callable[[Entry], Path],
) -> Iterator[Row]:
    """Yield the row of each image of a batch.

    Args:
        entries: the images.
        found: their answers.
        labels: class names.
        scores: how logits become answers.
        top: number of labels to list.
        path_of: returns the path of an image's file. Errors contain the name in its place, so that they do not depend
            on where the source is.
    """
    margins = iter(margin_per_image(found.logits, scores).tolist() if len(found.logits) else ())
    answers = iter(zip(found.logits, found.stages, strict=True))
    for entry, error in zip(entries, found.errors, strict=True):
        if error is not None:
            yield _failed(entry, error, str(path_of(entry)))
            continue
        logits, stage = next(answers)
        margin = next(margins)
        prediction = prediction_of(logits, labels, top=top, scores=scores, stage=stage)
        yield {
            "path": entry.printable_name,
            "label": prediction.label,
            "probability": prediction.probability,
            "top": [{"label": label, "probability": probability} for label, probability in prediction.top],
            "labels": list(prediction.labels),
            "margin": margin if math.isfinite(margin) else None,  # it is infinite for a single class
            "unsure": prediction.unsure,
            "stage": stage,
            "error": None,
        }


def _failed(entry: Entry, error: ImageError, path: str) -> Row:
    message = str(error).replace(path, entry.printable_name)
    if entry.file:  # a path in a table is relative to the table
        message = message.replace(f"{Path(entry.file).parent}/", "")
    empty = dict.fromkeys(("label", "probability", "top", "labels", "margin", "unsure", "stage"))
    return {"path": entry.printable_name, **empty, "error": message.encode("utf-8", "backslashreplace").decode()}


def encoder(kind: Format) -> Callable[[Sequence[Row]], bytes]:
    """Return the function that writes the rows of a shard. The same rows give the same bytes.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    return _parquet_encoder() if kind == "parquet" else _json_lines


def _json_lines(rows: Sequence[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n" for row in rows)


def _parquet_encoder() -> Callable[[Sequence[Row]], bytes]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise MissingExtra(
            f"Parquet needs pyarrow, which is not installed: {install_command('batch')}, or choose --format jsonl"
        ) from None
    label = pa.struct([("label", pa.string()), ("probability", pa.float64())])
    schema = pa.schema(
        [
            ("path", pa.string()),
            ("label", pa.string()),
            ("probability", pa.float64()),
            ("top", pa.list_(label)),
            ("labels", pa.list_(pa.string())),
            ("margin", pa.float64()),
            ("unsure", pa.bool_()),
            ("stage", pa.string()),
            ("error", pa.string()),
        ]
    )

    def encode(rows: Sequence[Row]) -> bytes:
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
        content: bytes = sink.getvalue().to_pybytes()
        return content

    return encode
