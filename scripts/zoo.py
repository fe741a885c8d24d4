"""Train the reference models on real images, one at a time; keep finished ones, resume interrupted ones (`make zoo`).

Each model is one `edgecnn train`: edgecnn's networks with their recipes, torchvision's with the options below. A model
is up to date if its checkpoint was trained with the current options and images. Writes `build/benchmarks/zoo.json` and
`docs/zoo.md` from the checkpoints.

    python -m scripts.zoo [--cats-vs-dogs FOLDER] [--only NAME ...]
"""

import argparse
import subprocess
import sys
import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.results import Output
from benchmarks.common.tables import named, table
from edgecnn.files.schema import plain
from edgecnn.pipeline.inspection.network import inspect_network
from edgecnn.pipeline.training.checkpoint import RECORD, read_checkpoint
from edgecnn.runtime.rates import wilson

ZOO = Path("zoo")
RESULT = Path("build/benchmarks/zoo.json")
PAGE = Path("docs/zoo.md")
TORCHVISION_OPTIONS = (
    *("--epochs", "4", "--batch-size", "128", "--learning-rate", "3e-3", "--warmup", "0.15"),
    *("--no-flip", "--shift", "0", "--precision", "fp32"),
)
"""Depthwise convolutions train faster in float32 than in bfloat16 on a processor."""


@dataclass(frozen=True)
class Model:
    """A reference model.

    Attributes:
        architecture: name in the registry.
        source: the data source.
        expected_top1: as a fraction.
        options: of `edgecnn train`, where the recipe does not apply.
    """

    architecture: str
    source: str
    expected_top1: float
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.architecture.removeprefix('torchvision:')}-{self.source}"


MODELS = (
    Model("lenet", "fashion-mnist", 0.90),
    Model("resnet18", "cats-vs-dogs", 0.80),
    Model("resnet18", "fashion-mnist", 0.92),
    Model("googlenet", "fashion-mnist", 0.92),
    Model("alexnet", "fashion-mnist", 0.905),
    Model("vgg11_bn", "fashion-mnist", 0.92),
    Model("torchvision:mobilenet_v2", "fashion-mnist", 0.89, TORCHVISION_OPTIONS),
    # At 32 pixels most of their maps would be 2 × 2 or smaller.
    Model("torchvision:mobilenet_v3_small", "fashion-mnist", 0.89, (*TORCHVISION_OPTIONS, "--image-size", "64")),
    Model("torchvision:efficientnet_b0", "fashion-mnist", 0.89, (*TORCHVISION_OPTIONS, "--image-size", "64")),
    Model("torchvision:regnet_x_400mf", "fashion-mnist", 0.89, (*TORCHVISION_OPTIONS, "--image-size", "64")),
)


def main() -> None:
    """Train the missing models, then write the results of all finished ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cats-vs-dogs", type=Path, help="image folder; without it this model is skipped")
    parser.add_argument("--only", nargs="*", default=[model.name for model in MODELS], help="names of models")
    options = parser.parse_args()
    failed = []
    for model in MODELS:
        if model.name not in options.only:
            continue
        source = options.cats_vs_dogs if model.source == "cats-vs-dogs" else model.source
        if source is None:
            print(f"{model.name}: skipped, give its images with --cats-vs-dogs FOLDER", flush=True)
        elif not train(model, str(source)):
            failed.append(model.name)
        write_results()
    if failed:
        sys.exit(f"error: not trained: {', '.join(failed)}")


def train(model: Model, source: str) -> bool:
    """Train one model, or resume it; return whether it is finished."""
    out = ZOO / model.name
    command = ["edgecnn", "train", model.architecture, "--data", source, "--out", str(out), *model.options]
    print(f"$ python -m {' '.join(command)} --resume", flush=True)
    code = run([*command, "--resume"])
    if code == 2:  # started with another recipe or other images
        print(f"{model.name}: retraining", flush=True)
        code = run([*command, "--force"])
    return code == 0


def run(command: list[str]) -> int:
    """Run a module with arguments in a new process; return its exit code."""
    return subprocess.run([sys.executable, "-m", *command], check=False).returncode


def write_results() -> None:
    """Write the table of every finished model, from its checkpoint alone."""
    rows = [row(model) for model in MODELS if (ZOO / model.name / RECORD).is_file()]
    if not rows:
        return
    Output(RESULT, PAGE).write({"command": "make zoo", "models": rows}, page(rows))


def row(model: Model) -> dict[str, Any]:
    """Return one model's figures."""
    checkpoint = read_checkpoint(ZOO / model.name)
    record = checkpoint.record
    top1 = record.test_top1 or 0.0
    low, high = wilson(round(top1 * record.test.images), record.test.images)
    summary = inspect_network(record.network)
    return {
        "name": model.name,
        "expected_top1": model.expected_top1,
        "test_top1": top1,
        "interval_95": [low, high],
        "test_images": record.test.images,
        "parameters": summary.parameters,
        "macs": summary.macs,
        "image_size": record.network.image_size,
        "epochs": record.options.epochs,
        "best_epoch": record.best_epoch,
        "training_s": record.duration_s,
        "waiting_for_data": sum(epoch.waited_s for epoch in record.history) / record.duration_s,
        "checkpoint": checkpoint.digest,
        "training_images": record.training.digest,
        "options": asdict(record.options),
        "compute": plain(record.compute),
        "versions": record.versions,
    }


def page(rows: list[dict[str, Any]]) -> str:
    """Write the page."""
    lines = [
        "# The zoo",
        "",
        "Written by `make zoo` from the checkpoints. Top-1 is measured once on the whole test split, in the epoch that",
        "a validation split chose. Its interval is Wilson's, 95 %. Parameters are all trainable ones, including",
        "GoogLeNet's auxiliary heads. Multiply-accumulates (MACs) are those of inference.",
        "",
        table(_HEADER, map(_cells, rows)),
        "",
        textwrap.fill(f"Versions: {named(rows[-1]['versions'])}.", 116),
        "",
    ]
    return "\n".join(lines)


_HEADER = ("model", "image", "top-1", "95 % interval", "expected", "parameters", "MACs", "epochs", "time", "ran on")


def _cells(each: dict[str, Any]) -> list[str]:
    (low, high), compute = each["interval_95"], each["compute"]
    met = "" if each["test_top1"] >= each["expected_top1"] else " (not reached)"
    return [
        each["name"],
        " × ".join(map(str, dict.fromkeys(each["image_size"]))),  # one figure for a square
        f"{each['test_top1']:.2%}",
        f"{low:.2%} to {high:.2%}",
        f"{each['expected_top1']:.1%}{met}",
        f"{each['parameters']:,}",
        f"{each['macs'] / 1e6:,.1f} M",
        str(each["epochs"]),
        f"{each['training_s'] / 60:.1f} min",
        f"{compute['device']}, {compute['precision']}, {compute['threads']} threads",
    ]


if __name__ == "__main__":
    main()
