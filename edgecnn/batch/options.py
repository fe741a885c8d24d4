"""Options of a batch job and their defaults."""

from dataclasses import dataclass, field
from typing import Any, Literal

Format = Literal["parquet", "jsonl"]


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class BatchOptions:
    """Options of `batch`. The command line shows each field's help text."""

    format: Format = _option(  # noqa: RUF009  # it is immutable
        "parquet", "Format of the shards. Parquet needs the extra batch."
    )
    shard_images: int = _option(4096, "Images of a shard. After an interruption, unfinished shards start again.")
    top: int = _option(5, "How many labels to write for each image.")
    batch: int = _option(8, "Images that run together. Larger batches help only GPUs.")
    column: str | None = _option(
        None, "Column of a Parquet file with the images' bytes or paths. [default: the only one]"
    )

    def __post_init__(self) -> None:
        for name in ("shard_images", "top", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
