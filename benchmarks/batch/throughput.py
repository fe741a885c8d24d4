"""The throughput of a batch job as a share of the engine's."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from benchmarks.common.photographs import write_photographs
from benchmarks.engines.bundles import RUNTIME, prepared
from edgecnn.batch.computing import Shard, proven_classifier
from edgecnn.batch.options import BatchOptions
from edgecnn.batch.running import Compute, Work, compute_here, run_job
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.store import Bundle
from edgecnn.files.schema import plain
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.choices import ENGINES
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.estimates import ratio

NETWORKS = {"lenet": 8192, "resnet50": 512}
"""Network -> images of a round."""
_ROUNDS, _BATCH = 5, 8
DECODED, JPEG, DECODING, ENGINE = "decoded", "jpeg", "decoding", "engine"


@mock.patch("edgecnn.batch.computing.check_proof")  # the proof of random weights holds on one engine only
def measure_throughput(check: mock.Mock) -> list[dict[str, Any]]:
    """Return a row for each network and engine: images per second of each way, and shares of the engine's."""
    rows = []
    for network, images in NETWORKS.items():
        bundle = prepared(network, "int8")
        for engine in ENGINES:
            ways = _ways(bundle, engine, images)
            rates: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(_ROUNDS):
                for name, run in ways.items():
                    rates[name].append(images / run())
            row = {
                "network": network,
                "engine": engine,
                "images": images,
                "images_per_s": {name: float(np.median(found)) for name, found in rates.items()},
                "share": {name: plain(ratio(rates[name], rates[ENGINE])) for name in (DECODED, JPEG)},
            }
            rows.append(row)
            print(network, engine, row["images_per_s"], row["share"], flush=True)
    return rows


def _ways(bundle: Bundle, engine: str, images: int) -> dict[str, Callable[[], float]]:
    """Return what runs all images once and returns its seconds."""
    files = _files(bundle, images)
    pixels = bundle.self_test().images[0]
    setting = Setting(engine, threads=usable_cores(), batch=_BATCH)

    def alone() -> float:
        batch = np.stack([pixels] * _BATCH)
        with proven_classifier(bundle, setting) as classifier:
            start = time.perf_counter()
            for _ in range(0, images, _BATCH):
                classifier.logits(batch)
            return time.perf_counter() - start

    def decoding() -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(bundle.manifest.preprocessing.image, files))
        return time.perf_counter() - start

    def compute(work: Work, shards: Sequence[int]) -> Iterator[Shard]:
        with mock.patch.object(Preprocessing, "image", return_value=pixels):
            yield from compute_here(work, shards)

    return {
        ENGINE: alone,
        DECODED: lambda: _job(bundle, files, engine, compute),
        JPEG: lambda: _job(bundle, files, engine),
        DECODING: decoding,
    }


def _job(bundle: Bundle, files: list[Path], engine: str, compute: Compute = compute_here) -> float:
    """Run a job and return the seconds that its shards took."""
    with tempfile.TemporaryDirectory(dir=RUNTIME) as folder:
        report = run_job(
            bundle,
            [str(list_of(files, Path(folder)))],
            Path(folder) / "out",
            options=BatchOptions(batch=_BATCH),
            engine=engine,
            session=SessionOptions(threads=usable_cores()),
            compute=compute,
        )
    assert report.errors == 0
    return report.seconds


def list_of(files: Sequence[Path], folder: Path) -> Path:
    """Write a list of images to a folder, and return its path."""
    path = folder / "images.txt"
    path.write_text("".join(f"{file.absolute()}\n" for file in files))
    return path


def _files(bundle: Bundle, images: int) -> list[Path]:
    is_lenet = bundle.manifest.preprocessing.mode == "L"
    return digit_files(bundle, images) if is_lenet else photograph_files(images)


def photograph_files(images: int) -> list[Path]:
    """Return photographs as JPEG files, which are written once."""
    files = [RUNTIME / "batch" / f"{number:04d}.jpg" for number in range(images)]
    write_photographs({file: number for number, file in enumerate(files)})
    return files


def digit_files(bundle: Bundle, images: int) -> list[Path]:
    """Return digits of a bundle as PNG files, which are written once."""
    folder = RUNTIME / "batch-digits"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:05d}.png" for number in range(images)]
    pictures = bundle.self_test().images[:, :, :, 0]
    for number, file in enumerate(files):
        if not file.exists():
            Image.fromarray(pictures[number % len(pictures)]).save(file)
    return files
