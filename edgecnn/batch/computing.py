"""Compute the shards of a batch job with one classifier."""

import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.batch.job import Environment, Job
from edgecnn.batch.plan import Entry
from edgecnn.batch.rows import Row, encoder, rows_of
from edgecnn.batch.sources import Source
from edgecnn.bundle.store import Bundle
from edgecnn.errors import SourceError
from edgecnn.runtime.classifier import Classifier
from edgecnn.runtime.images import Item
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.verification.replay import check_proof

SHOWN_ERRORS = 3
"""Errors of images that a report names."""

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENOTCONN}


@dataclass(frozen=True)
class Shard:
    """A computed shard.

    Attributes:
        number: its number, from 0.
        content: the bytes of its file.
        images: number of rows.
        errors: rows with an error.
        first_errors: names and errors of the first of them.
        environment: where it was computed.
    """

    number: int
    content: bytes
    images: int
    errors: int
    first_errors: tuple[str, ...]
    environment: Environment


def proven_classifier(bundle: Bundle, setting: Setting) -> Classifier:
    """Open a bundle and run its self-test.

    Raises:
        ProofFailed: the self-test does not pass.
        EngineError: the engine is not available or failed.
    """
    session = open_session(bundle, engine=setting.engine, options=setting.options)
    try:
        check_proof(bundle, session)
    except BaseException:
        session.close()
        raise
    return Classifier(bundle, session)


def compute_shards(
    classifier: Classifier,
    source: Source,
    job: Job,
    planned: Iterable[tuple[int, list[Entry]]],
    environment: Environment,
    *,
    workers: int | None = None,
    advance: Callable[[int], None] = lambda images: None,
) -> Iterator[Shard]:
    """Classify the images of shards, given as numbers and entries, and yield each shard when it is complete.

    `workers` threads decode images, by default one for each core. `advance` is called with the number of new images.

    Raises:
        SourceError: the source has vanished.
        EngineError: the engine failed.
    """
    encode, scores = encoder(job.format), classifier.bundle.manifest.scores
    running: deque[tuple[int, list[Entry], bool]] = deque()  # shard, images of a batch, whether the batch is its last

    def batches() -> Iterator[list[Item]]:
        for number, entries in planned:
            for start in range(0, len(entries), job.setting.batch):
                part = entries[start : start + job.setting.batch]
                running.append((number, part, start + len(part) == len(entries)))
                yield list(source.read(part))

    rows: list[Row] = []
    failed: list[Entry] = []
    read: Entry | None = None
    for found in classifier.answers(batches(), workers=workers):
        number, entries, is_last = running.popleft()
        rows += rows_of(entries, found, classifier.labels, scores, top=job.top, path_of=source.path)
        for entry, error in zip(entries, found.errors, strict=True):
            if error is None:
                read = entry
            else:
                failed.append(entry)
        advance(len(entries))
        if is_last:
            _check_presence(source, failed, read, number)
            first = [_named(row) for row in rows if row["error"] is not None][:SHOWN_ERRORS]
            yield Shard(number, encode(rows), len(rows), len(failed), tuple(first), environment)
            rows, failed, read = [], [], None


def _check_presence(source: Source, failed: Sequence[Entry], read: Entry | None, shard: int) -> None:
    """Check that images are missing one by one, and not because the source is not mounted any more.

    Args:
        source: the images.
        failed: the images of the shard that have errors.
        read: an image of the shard that was read; None without one.
        shard: the shard's number.

    Raises:
        SourceError: the source does not exist, or neither do these images nor the one that was read, or without one
            the folders of these images.
    """
    missing = [entry for entry in failed if _is_absent(source.path(entry))]
    if read is None:
        is_gone = not any(map(_has_files, {source.path(entry).parent for entry in missing}))
    else:
        is_gone = _is_absent(source.path(read))
    if missing and (is_gone or _is_absent(source.place)):
        raise SourceError(
            f"{source.place} has vanished: {len(missing)} images of shard {shard} do not exist; finished shards are "
            f"kept: restore the source, then run the same command again"
        )


def _is_absent(path: Path) -> bool:
    """Return whether a file does not exist, or its disk does not answer. A file that cannot be read is not absent."""
    try:
        path.stat()
    except OSError as error:
        return error.errno in _ABSENT
    except ValueError:  # a zero byte in the path
        return False
    return False


def _has_files(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError as error:
        return error.errno not in _ABSENT


def _named(row: Row) -> str:
    """Return the error of a row with the image's name."""
    path, error = str(row["path"]), str(row["error"])
    return error if path in error else f"{path}: {error}"
