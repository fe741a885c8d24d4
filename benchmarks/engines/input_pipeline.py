"""Measure how long training waits for data: 32 to 224 pixels, from memory and from image files.

The images are 500 × 375 crops of real photographs, as JPEG files. The result is the share of two epochs' wall time,
after a first epoch, in which the network waited. Writes the data and `results/input_pipeline.md`.

    python -m benchmarks.engines.input_pipeline
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common.photographs import write_photographs
from benchmarks.common.results import command_line, origin, output
from benchmarks.common.tables import table, where
from edgecnn.files.schema import plain
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.training.loop import train
from edgecnn.pipeline.training.recipes import CACHE_MIB, TrainingOptions
from edgecnn.pipeline.versions import versions

CASES = (
    ("lenet", 32, 4096),
    ("resnet18", 32, 512),
    ("resnet18", 64, 512),
    ("resnet18", 128, 256),
    ("resnet18", 224, 128),
)
"""Architecture, image size, training images."""

EPOCHS = 3


def main() -> None:
    """Train in every case; print and write the shares."""
    written = output("input_pipeline", command_line(__doc__).parse_args().out)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for architecture, size, count in CASES:
            photographs = image_folder(Path(folder) / f"photographs-{size}-{count}", count)
            for kept in (True, False):
                options = TrainingOptions(epochs=EPOCHS, image_size=size, flip=True, validation=0)
                out = Path(folder) / f"{architecture}-{size}-{kept}"
                source = ImageFolder(photographs)
                cache = CACHE_MIB if kept else 0
                train(architecture, source, out, source_name="photographs", options=options, cache_mib=cache)
                record = read_checkpoint(out).record
                epochs = record.history[1:]  # the first epoch is warm-up
                share = sum(epoch.waited_s for epoch in epochs) / sum(epoch.duration_s for epoch in epochs)
                speed = record.training.images * len(epochs) / sum(epoch.duration_s for epoch in epochs)
                rows.append(
                    {
                        "architecture": architecture,
                        "image_size": size,
                        "images": "in memory" if kept else "read from their files each epoch",
                        "waiting": share,
                        "images_per_s": speed,
                        "compute": plain(record.compute),
                    }
                )
                print(f"{architecture} at {size}, {rows[-1]['images']}: {share:.1%} waiting, {speed:.0f} images/s")
    result = origin() | {"versions": versions(), "rows": rows}
    written.write(result, page(result))


def image_folder(root: Path, images: int) -> Path:
    """Write training images and 16 test images in two classes."""
    parts = {"train": images // 2, "test": 8}
    write_photographs(
        {
            root / part / label / f"{index}.jpg": 2 * index + number
            for number, label in enumerate(("temple", "flower"))
            for part, count in parts.items()
            for index in range(count)
        }
    )
    return root


def page(result: Mapping[str, Any]) -> str:
    """Write the shares."""
    rows = [
        [
            each["architecture"],
            str(each["image_size"]),
            each["images"],
            f"{each['waiting']:.1%}",
            f"{each['images_per_s']:.0f}",
            f"{each['compute']['device']}, {each['compute']['precision']}, {each['compute']['threads']} threads",
        ]
        for each in result["rows"]
    ]
    header = ["network", "image", "images", "waiting", "images/s", "ran on"]
    return "\n".join([_TITLE, "", table(header, rows), "", where(result), ""])


_TITLE = """# Time that training waits for data

Written by `python -m benchmarks.engines.input_pipeline`: the share of the wall time of two epochs, after a first epoch,
in which the network waited. The images are JPEG files of 500 × 375 pixels."""


if __name__ == "__main__":
    main()
