"""Sources of batch jobs: digits as files, in tar archives and in Parquet files."""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from repository import COMMITTED

from edgecnn.batch.options import BatchOptions
from edgecnn.batch.running import BatchReport, run_job
from edgecnn.bundle.store import Bundle, open_bundle


def digit_bytes(index: int) -> bytes:
    """Return a digit of the committed bundle's self-test as a PNG file."""
    images = open_bundle(COMMITTED).self_test().images
    return png(images[index % len(images), :, :, 0])


def png(pixels: np.ndarray) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def digit_folder(root: Path, count: int = 20) -> Path:
    """Write digits to two folders of a folder, and return it."""
    images = open_bundle(COMMITTED).self_test().images
    for index in range(count):
        path = root / ("even", "odd")[index % 2] / f"{index:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(images[index % len(images), :, :, 0]))
    return root


def tar_of(path: Path, members: Mapping[str, bytes], *, mode: str = "w") -> Path:
    """Write a tar archive."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def job(bundle: Bundle, source: Path | str | Iterable[Path], out: Path, **options: Any) -> BatchReport:
    """Run a job in this process. JSON Lines is the default format, because tests read it."""
    several = [source] if isinstance(source, str | Path) else source
    chosen = BatchOptions(**{"format": "jsonl"} | options)
    return run_job(bundle, list(map(str, several)), out, options=chosen)


def rows(out: Path) -> list[dict[str, Any]]:
    """Return the rows of a job with JSON Lines, in order."""
    shards = sorted(out.glob("shard-*.jsonl"))
    return [json.loads(line) for shard in shards for line in shard.read_text().splitlines()]


def contents(out: Path) -> dict[str, bytes]:
    """Return the content of every file of an output folder."""
    return {path.name: path.read_bytes() for path in out.iterdir()}
