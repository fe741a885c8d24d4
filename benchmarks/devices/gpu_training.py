"""Train ResNet-18 in mixed precision on one GPU, and compare it with the CPU's record of the same recipe.

The record is that of a checkpoint in `zoo/`, trained on a CPU. The same network, options and images are trained on the
GPU, in at most eight minutes. The training holds if the loss of the last epoch and top-1 on the test images are within
the limits below. Writes images per second, and `results/gpu_training.md`. Exits with 1 if the training does not hold.
On a machine without internet access, set EDGECNN_DATA to a folder with `fashion-mnist`. Untested: no run on a GPU has
been made.

    python -m benchmarks.devices.gpu_training [CHECKPOINT]
"""

import dataclasses
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.results import command_line, origin, output
from benchmarks.common.tables import table, where
from benchmarks.quantization.networks import ZOO
from edgecnn.errors import EdgecnnError
from edgecnn.files.schema import plain
from edgecnn.pipeline.data.source import DataSource
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.training.checkpoint import CheckpointRecord, Epoch, read_checkpoint
from edgecnn.pipeline.training.loop import train

CHECKPOINT = ZOO / "resnet18-fashion-mnist"
LIMIT_S = 480.0
MOST_LOSS, MOST_POINTS = 0.05, 1.0
"""Largest difference of the last epoch's training loss, relative to the CPU's, and of top-1, in points."""


@dataclass(frozen=True)
class Trained:
    """One training.

    Attributes:
        device: `cpu`, or the name of the GPU.
        precision: of the layers.
        loss: of the last epoch, on the training images.
        test_top1: on the test images, as a fraction.
        images_per_s: training images per second, over all epochs.
        epoch_s: duration of each epoch.
    """

    device: str
    precision: str
    loss: float
    test_top1: float
    images_per_s: float
    epoch_s: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """A training and the record of the same recipe.

    Attributes:
        architecture: name in the registry.
        source: of the images.
        record: the training on the CPU.
        trained: the training on the GPU.
        loss_change: difference of the losses, relative to the record's.
        points: difference of top-1 in points.
        holds: whether both are within the limits.
    """

    architecture: str
    source: str
    record: Trained
    trained: Trained
    loss_change: float
    points: float
    holds: bool


def train_again(record: CheckpointRecord, source: DataSource, *, device: str, limit_s: float = LIMIT_S) -> Comparison:
    """Train with a record's recipe on a device, and compare.

    Raises:
        EdgecnnError: the training would take longer than `limit_s`, or the device is not there.
    """
    options = dataclasses.replace(record.options, device=device, precision="auto")  # type: ignore[arg-type]
    start = time.monotonic()

    def check_time(number: int, epoch: Epoch) -> None:
        expected_s = (time.monotonic() - start) / number * options.epochs
        print(f"epoch {number}: loss {epoch.loss:.4f}, {epoch.duration_s:.1f} s", flush=True)
        if expected_s > limit_s:
            raise EdgecnnError(f"{options.epochs} epochs take {expected_s:.0f} s, {limit_s:.0f} s are allowed")

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "checkpoint"
        architecture = record.network.architecture
        train(architecture, source, out, source_name=record.source, options=options, on_epoch=check_time)
        return compare(record, read_checkpoint(out).record)


def compare(record: CheckpointRecord, found: CheckpointRecord) -> Comparison:
    """Compare two trainings of the same recipe."""
    before, after = _trained(record), _trained(found)
    loss_change = (after.loss - before.loss) / before.loss
    points = (after.test_top1 - before.test_top1) * 100
    holds = abs(loss_change) <= MOST_LOSS and abs(points) <= MOST_POINTS
    return Comparison(record.network.architecture, record.source, before, after, loss_change, points, holds)


def _trained(record: CheckpointRecord) -> Trained:
    validation = 0 if record.validation is None else record.validation.images
    images = (record.training.images - validation) * len(record.history)
    return Trained(
        device=record.compute.device,
        precision=record.compute.precision,
        loss=record.history[-1].loss,
        test_top1=record.test_top1 or 0.0,
        images_per_s=images / record.duration_s,
        epoch_s=tuple(epoch.duration_s for epoch in record.history),
    )


def page(result: dict[str, Any]) -> str:
    """Write the table."""
    found = result["comparison"]
    rows = [
        (
            each["device"],
            each["precision"],
            f"{each['images_per_s']:,.0f}",
            f"{max(each['epoch_s']):.1f}",
            f"{each['loss']:.4f}",
            f"{each['test_top1']:.2%}",
        )
        for each in (found["record"], found["trained"])
    ]
    verdict = "holds" if found["holds"] else "does not hold"
    header = ("device", "precision", "images/s", "longest epoch, s", "loss", "top-1")
    parts = [
        "# Training on a GPU",
        f"Written by `python -m benchmarks.devices.gpu_training`: {found['architecture']} on {found['source']}, with\n"
        "the same recipe on both devices.",
        table(header, rows),
        f"The training {verdict}: the loss differs by {found['loss_change']:+.1%} ({MOST_LOSS:.0%} allowed), top-1 by "
        f"{found['points']:+.2f} points\n({MOST_POINTS:g} allowed).",
        f"Measured {where(result)}.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Train on the GPU, write the page, and exit with 1 if the training does not hold."""
    parser = command_line(__doc__)
    parser.add_argument("checkpoint", nargs="?", type=Path, default=CHECKPOINT, help=f"[default: {CHECKPOINT}]")
    options = parser.parse_args()
    try:
        record = read_checkpoint(options.checkpoint).record
        found = train_again(record, open_source(record.source), device="cuda")
    except EdgecnnError as error:
        sys.exit(f"error: {error}")
    result = origin() | {"comparison": plain(found)}
    output("gpu_training", options.out).write(result, page(result))
    print(f"{found.trained.images_per_s:,.0f} images/s; holds: {found.holds}", flush=True)
    sys.exit(not found.holds)


if __name__ == "__main__":
    main()
