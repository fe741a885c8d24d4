"""Compare PyTorch's logits with the exported graph's for every architecture, on both engines.

Random weights with realistic batch norm statistics, real photographs, at 224 and at the smallest image size, at batch
1, 3 and 8. An error is the largest difference of a logit, relative to the spread of the logits between the images. The
reference is torchvision's module if it has the network, otherwise edgecnn's. Writes the data and `results/parity.md`.

    python -m benchmarks.engines.parity
"""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision

from benchmarks.common.random_networks import IMAGENET, realistic
from benchmarks.common.results import command_line, output
from benchmarks.common.tables import table
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.bundle.self_test import spread
from edgecnn.pipeline.data.photographs import photographs
from edgecnn.pipeline.models.registry import architectures, build, get_architecture
from edgecnn.pipeline.proving import PARITY_BATCHES, engine_sessions
from edgecnn.pipeline.torch_graph import to_onnx
from edgecnn.pipeline.transforms import network_input
from edgecnn.pipeline.versions import versions
from edgecnn.runtime.classifier import run_batches

TITLE = """# Parity of exported graphs

Written by `python -m benchmarks.engines.parity`. Worst result of batch 1, 3 and 8. An error is the largest difference
of a logit divided by the spread of the logits between images. `export` rejects trained networks above 1e-4. Deep random
networks are worse conditioned: on the machine of the first run, PyTorch's own FP32 answers differed by 8.3e-5 from its
float64 answers for VGG-19 at 224."""
_IMAGES = 8


@dataclass(frozen=True)
class Parity:
    """One architecture at one size on one engine at one batch size.

    Attributes:
        architecture: its name.
        image_size: height and width in pixels.
        reference: `torchvision` or `edgecnn`: the source of the PyTorch module.
        engine: that ran the graph.
        batch: images per run.
        error: largest difference of a logit, divided by the spread of the logits between images.
        different: number of labels that differ.
    """

    architecture: str
    image_size: int
    reference: str
    engine: str
    batch: int
    error: float
    different: int


def cases() -> list[tuple[str, int]]:
    """Return every architecture with its usual and its smallest image size."""
    sizes = [(each.name, size) for each in architectures() for size in (each.image_size, each.min_image_size)]
    return sorted(set(sizes), key=sizes.index)


def measure(name: str, size: int) -> Iterator[Parity]:
    """Export one architecture at one size, run it on every engine, and compare."""
    architecture = get_architecture(name)
    network = architecture.usual(image_size=size)
    channels = network.in_channels
    mean = (0.5,) * channels if name == "googlenet" else IMAGENET[0][:channels]
    preprocessing = Preprocessing("L" if channels == 1 else "RGB", Resize((size, size)), None, mean, (0.25,) * channels)
    # torchvision's AlexNet and VGG pool small maps up to 7 × 7; edgecnn's classifier has the size of the map.
    theirs = name != "lenet" and (size == architecture.image_size or name.startswith(("resnet", "googlenet")))
    ours = build(network)
    reference = torchvision_network(name) if theirs else ours
    realistic(reference, size=max(size, 64) if theirs else size, channels=channels)
    ours.load_state_dict(reference.state_dict())
    images = photographs().pixels(range(_IMAGES), preprocessing)
    with torch.inference_mode():
        expected = reference.eval()(network_input(images, preprocessing)).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        shape = (size, size, channels)
        path.write_bytes(to_onnx(ours.eval(), preprocessing, shape).SerializeToString())
        with engine_sessions(path) as sessions:
            for engine, session in sessions.items():
                for batch in PARITY_BATCHES:
                    logits = run_batches(session, images, classes=network.num_classes, batch=batch)
                    yield Parity(
                        architecture=name,
                        image_size=size,
                        reference="torchvision" if theirs else "edgecnn",
                        engine=engine,
                        batch=batch,
                        error=float(np.abs(logits - expected).max()) / spread(expected),
                        different=int((logits.argmax(axis=1) != expected.argmax(axis=1)).sum()),
                    )


def torchvision_network(name: str) -> torch.nn.Module:
    """Build torchvision's module with random weights."""
    extra = {"init_weights": False, "transform_input": False} if name == "googlenet" else {}
    module: torch.nn.Module = torchvision.models.get_model(name, weights=None, **extra)
    return module


def page(found: list[Parity]) -> str:
    """Write the worst result of each network, size and engine."""
    rows = []
    for name, size, engine in dict.fromkeys((row.architecture, row.image_size, row.engine) for row in found):
        same = [row for row in found if (row.architecture, row.image_size, row.engine) == (name, size, engine)]
        worst, different = max(row.error for row in same), sum(row.different for row in same)
        rows.append([name, str(size), same[0].reference, engine, f"{worst:.1e}", str(different)])
    header = ["network", "image", "reference", "engine", "worst error", "different answers"]
    return f"{TITLE}\n\n{table(header, rows)}\n"


def main() -> None:
    """Measure all cases and write the results."""
    out = output("parity", command_line(__doc__).parse_args().out)
    found: list[Parity] = []
    for name, size in cases():
        found += measure(name, size)
        worst = max(row.error for row in found if (row.architecture, row.image_size) == (name, size))
        print(f"{name} at {size}: {worst:.1e}", flush=True)
    result = {"versions": versions(), "batches": PARITY_BATCHES, "rows": [asdict(row) for row in found]}
    out.write(result, page(found))


if __name__ == "__main__":
    main()
