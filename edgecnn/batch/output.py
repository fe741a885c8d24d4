"""The output folder of a job: its manifest, and its shards, each written atomically.

A finished shard is recorded in `shards.jsonl`, one line each. At the end of the job the records move to
`manifest.json`. After a crash, shards without a record or with other content are computed again.
"""

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from edgecnn.batch.job import FORMAT, Environment, Job, JobManifest, ShardRecord
from edgecnn.bundle.finding import MANIFEST, check_outside_bundles
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.files import schema
from edgecnn.files.digest import digest_bytes, digest_file
from edgecnn.files.file import replacing
from edgecnn.files.folder import make_folder, write_new_file
from edgecnn.files.locking import LOCKS, try_lock

RECORDS = "shards.jsonl"
_LEFTOVER = re.compile(r"\.(manifest\.json|shards\.jsonl|shard-\d+\.\w+)\.new-[0-9a-f]{12}")


class JobOutput:
    """The locked output folder of a job."""

    def __init__(self, folder: Path) -> None:
        """Read what an earlier run has left; see `open_output`."""
        self.folder = folder
        self.manifest = _read_manifest(folder)
        self.records: dict[int, ShardRecord] = {}
        if self.manifest is not None:
            found = (*self.manifest.shards, *_read_records(folder / RECORDS))
            self.records = {record.shard: record for record in found}

    def begin(self, job: Job, environment: Environment) -> None:
        """Start or continue a job: check that an earlier run had the same job, and forget damaged shards.

        Raises:
            UsageError: the folder belongs to another job.
            EdgecnnError: writing failed.
        """
        if self.manifest is None:
            self.manifest = JobManifest(FORMAT, job, environment)
            self._write(MANIFEST, schema.dump(self.manifest).encode())
        difference = job.difference(self.manifest.job)
        if difference is not None:
            raise UsageError(f"{self.folder} belongs to another job ({difference}): choose another --out")
        self.records = {number: record for number, record in self.records.items() if self._is_intact(record)}
        if (self.folder / RECORDS).exists():  # its last line may be incomplete
            self._write(RECORDS, b"".join(map(_line, self.records.values())))

    @property
    def job(self) -> Job:
        """The job, after `begin`."""
        assert self.manifest is not None
        return self.manifest.job

    def missing(self) -> list[int]:
        """Return the numbers of the shards that are not finished."""
        return [number for number in range(self.job.shards) if number not in self.records]

    def add(self, shard: int, content: bytes, *, images: int, errors: int, environment: Environment) -> None:
        """Write a shard and its record.

        Raises:
            EdgecnnError: writing failed, for example because the disk is full.
        """
        assert self.manifest is not None
        own = None if environment == self.manifest.environment else environment
        record = ShardRecord(
            shard, self.job.file(shard), images, errors, len(content), digest_bytes(content), environment=own
        )
        self._write(record.file, content)
        with self._translated(RECORDS), (self.folder / RECORDS).open("ab") as file:
            file.write(_line(record))
            file.flush()
            os.fsync(file.fileno())
        self.records[shard] = record

    def finish(self) -> None:
        """Write the records of all shards to the manifest.

        Raises:
            EdgecnnError: writing failed.
        """
        assert self.manifest is not None
        records = tuple(self.records[number] for number in sorted(self.records))
        self.manifest = dataclasses.replace(self.manifest, shards=records)
        self._write(MANIFEST, schema.dump(self.manifest).encode())
        (self.folder / RECORDS).unlink(missing_ok=True)

    def _is_intact(self, record: ShardRecord) -> bool:
        path = self.folder / record.file
        return (
            record.file == self.job.file(record.shard)
            and record.shard < self.job.shards
            and path.is_file()
            and path.stat().st_size == record.size_bytes
            and digest_file(path) == record.sha256
        )

    def _write(self, name: str, content: bytes) -> None:
        with self._translated(name), replacing(self.folder / name) as new:
            write_new_file(new, (content,))

    @contextlib.contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EdgecnnError(
                f"cannot write {self.folder / name}: {error.strerror or error}; finished shards are kept: free some "
                f"space or repair the disk, then run the same command again"
            ) from None


@contextlib.contextmanager
def open_output(folder: Path) -> Iterator[JobOutput]:
    """Create or open the output folder of a job, and lock it while the block runs.

    Raises:
        UsageError: the path is not a folder, is inside a bundle, or is a folder with other files.
        EdgecnnError: the folder cannot be written, is damaged, or another process runs a job in it.
    """
    check_outside_bundles(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: choose another --out")
    is_new = not folder.exists()
    try:
        make_folder(folder)
        lock = try_lock(folder)
    except OSError as error:
        raise EdgecnnError(f"cannot write {folder}: {error.strerror}; choose another --out") from None
    if lock is None and LOCKS:
        raise EdgecnnError(f"another job is running in {folder}: wait for its end, or choose another --out")
    try:
        output = JobOutput(folder)
        for path in folder.iterdir():
            if _LEFTOVER.fullmatch(path.name):  # of a killed run
                path.unlink(missing_ok=True)
        yield output
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # it contains something
                folder.rmdir()
        if lock is not None:
            os.close(lock)


def _read_manifest(folder: Path) -> JobManifest | None:
    """Return the manifest; None in an empty folder.

    Raises:
        UsageError: the folder contains other files.
        EdgecnnError: the manifest is damaged or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        others = [child.name for child in folder.iterdir() if not child.name.startswith(".")]
        if others:
            raise UsageError(f"{folder} is not empty and not the output of a job: choose another --out")
        return None
    try:
        found = schema.parse(JobManifest, path.read_bytes())
    except OSError as error:
        raise EdgecnnError(f"cannot read {path}: {error.strerror}") from None
    except schema.SchemaError as error:
        raise UsageError(f"{path} is not the manifest of a job: {error}; choose another --out") from None
    if found.format != FORMAT:
        raise EdgecnnError(f"{path} has the format {found.format}, expected {FORMAT}: use the edgecnn that wrote it")
    return found


def _line(record: ShardRecord) -> bytes:
    return json.dumps(schema.plain(record), ensure_ascii=False).encode() + b"\n"


def _read_records(path: Path) -> Iterator[ShardRecord]:
    """Yield the records of an unfinished job. A crash can leave an incomplete last line, which is skipped."""
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(schema.SchemaError):
            yield schema.parse(ShardRecord, line)
