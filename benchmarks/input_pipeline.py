"""How long does training wait for data? Two epochs after a first, 32 to 224 pixels, from memory and from image files.

The images are 500 × 375 crops of real photographs, as JPEG files. Writes `results/input_pipeline.json`; the share is
that of the wall time of an epoch in which the network had nothing to do.

    python benchmarks/input_pipeline.py
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from edgecnn.files.schema import plain
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.training.loop import train
from edgecnn.pipeline.training.recipes import CACHE_MIB, TrainingOptions

RESULT = Path(__file__).parent / "results" / "input_pipeline.json"
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
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for architecture, size, count in CASES:
            photographs = write_photographs(Path(folder) / f"photographs-{size}-{count}", count)
            for kept in (True, False):
                options = TrainingOptions(epochs=EPOCHS, image_size=size, flip=True, validation=0)
                out = Path(folder) / f"{architecture}-{size}-{kept}"
                source = ImageFolder(photographs)
                cache = CACHE_MIB if kept else 0
                train(architecture, source, out, source_name="photographs", options=options, cache_mib=cache)
                record = read_checkpoint(out).record
                epochs = record.history[1:]  # the first one warms up
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
    RESULT.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def write_photographs(root: Path, images: int) -> Path:
    """Write training and 16 test photographs in two classes: crops of two real ones."""
    if root.exists():
        return root
    rng = np.random.default_rng(0)
    for label, picture in zip(("temple", "flower"), load_sample_images().images, strict=True):
        whole = Image.fromarray(picture)
        for part, count in (("train", images // 2), ("test", 8)):
            (root / part / label).mkdir(parents=True)
            for index in range(count):
                left, top = int(rng.integers(0, 640 - 500)), int(rng.integers(0, 427 - 375))
                whole.crop((left, top, left + 500, top + 375)).save(root / part / label / f"{index}.jpg", quality=90)
    return root


if __name__ == "__main__":
    main()
