"""The manifest of a job: what it computes, on what, and which shards are finished."""

import importlib.metadata
from dataclasses import asdict, dataclass

from edgecnn import __version__
from edgecnn.batch.options import Format
from edgecnn.host.processor import processor
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.runtime.setting import Setting

FORMAT = 1
"""Version of the manifest's format."""


@dataclass(frozen=True)
class Job:
    """What determines the rows of a job. Two runs on one output folder must have the same.

    Attributes:
        bundle: name of the bundle.
        digest: its digest.
        source: kind of source: `files`, `tar` or `parquet`.
        images: number of images.
        images_digest: SHA-256 of the names of the images and of their places in archives.
        shard_images: images of a shard; the last one may have fewer.
        format: format of the shards.
        top: labels in a row.
        setting: how the bundle runs. Its batch is the number of images that run together.
    """

    bundle: str
    digest: str
    source: str
    images: int
    images_digest: str
    shard_images: int
    format: Format
    top: int
    setting: Setting

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.images // self.shard_images)

    def file(self, shard: int) -> str:
        """Return the name of a shard's file."""
        return f"shard-{shard:08d}.{self.format}"

    def difference(self, other: "Job") -> str | None:
        """Return how another job differs from this one, for a message; None if they are the same."""
        mine, theirs = asdict(self), asdict(other)
        for name, value in mine.items():
            if value != theirs[name]:
                what = _NAMES.get(name, name.replace("_", " "))
                shown = (other.setting, self.setting) if name == "setting" else (theirs[name], value)
                return f"{what} {_short(shown[0])}, now {_short(shown[1])}"
        return None


_NAMES = {
    "bundle": "bundle",
    "digest": "a bundle with the digest",
    "images_digest": "images with the digest",
    "shard_images": "shards of",
    "images": "number of images",
    "source": "source",
}


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text


@dataclass(frozen=True)
class Environment:
    """Versions and processor. With the same environment and setting, a shard is the same byte for byte.

    Attributes:
        edgecnn: version of edgecnn.
        engine: version of the engine.
        numpy: version of NumPy.
        pillow: version of Pillow.
        pyarrow: version of pyarrow; None for JSON Lines.
        processor: name and instruction sets.
    """

    edgecnn: str
    engine: str
    numpy: str
    pillow: str
    pyarrow: str | None
    processor: str

    def difference(self, other: "Environment") -> str | None:
        """Return how another environment differs from this one, for a message; None if they are the same."""
        mine, theirs = asdict(self), asdict(other)
        parts = [f"{name} {theirs[name]}, here {mine[name]}" for name in mine if mine[name] != theirs[name]]
        return "; ".join(parts) or None


def environment_of(session: SessionInfo, kind: Format) -> Environment:
    """Return the environment of this process."""
    here, version = processor(), importlib.metadata.version
    return Environment(
        edgecnn=__version__,
        engine=session.version,
        numpy=version("numpy"),
        pillow=version("Pillow"),
        pyarrow=version("pyarrow") if kind == "parquet" else None,
        processor=f"{here.name} ({', '.join(here.features)})",
    )


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard.

    Attributes:
        shard: its number, from 0.
        file: name of its file.
        images: number of rows.
        errors: rows with an error.
        size_bytes: size of the file.
        sha256: digest of the file.
        environment: where it was computed, if that differs from the job's environment.
    """

    shard: int
    file: str
    images: int
    errors: int
    size_bytes: int
    sha256: str
    environment: Environment | None = None


@dataclass(frozen=True)
class JobManifest:
    """`manifest.json` of an output folder.

    Attributes:
        format: version of this format.
        job: what the job computes.
        environment: versions and processor of the first run.
        shards: the finished shards in order; complete when the job has ended.
    """

    format: int
    job: Job
    environment: Environment
    shards: tuple[ShardRecord, ...] = ()
