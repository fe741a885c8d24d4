"""What `check.py` runs: the committed bundle, and the zoo's networks as FP32 and INT8 bundles in `build/devices`.

PyTorch's answers are recorded here once (`edgecnn evaluate --save-logits`): a device has none. What stands is kept,
so a run that was ended goes on; a bundle of another checkpoint is built anew.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common.results import BUILD as BUILDS
from benchmarks.common.results import COMMITTED, REPOSITORY
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.runtime.verification.recorded import read_recorded

NETWORKS = ("lenet", "alexnet", "vgg11_bn", "googlenet", "resnet18")
FULL_RANGE = "lenet"
"""The network that is quantized without regard for processors whose sums saturate, too."""

SOURCE = "fashion-mnist"
BUILD = BUILDS / "devices"
_IMAGES = 200
_IMAGES_OF_SLOW = 50
_SLOW_MACS = 100_000_000
"""From here on an emulated image takes about a second and more."""


@dataclass(frozen=True)
class Subject:
    """A bundle, and what PyTorch answers to some images.

    Attributes:
        bundle: it.
        images: uint8 [N, H, W, C].
        logits: float32 [N, K], the reference's, from PyTorch.
        full_range: whether its INT8 weights go beyond ±64.
    """

    bundle: Bundle
    images: np.ndarray
    logits: np.ndarray
    full_range: bool = False


def committed() -> Subject:
    """Return the bundle that everybody has: its self-test holds PyTorch's logits."""
    bundle = open_bundle(COMMITTED)
    self_test = bundle.self_test()
    return Subject(bundle, self_test.images, self_test.logits)


def build(zoo: Path) -> None:
    """Export and quantize what the zoo holds, and record what PyTorch answers; says what is not there."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for network in NETWORKS:
        checkpoint = zoo / f"{network}-{SOURCE}"
        if not checkpoint.is_dir():
            print(f"{network}: left out, {checkpoint} is not there (make zoo)", flush=True)
            continue
        reference = read_checkpoint(checkpoint).reference.identity
        fp32, int8 = BUILD / f"{network}-fp32", BUILD / f"{network}-int8"
        quantize = ["quantize", str(fp32), "--calibration", SOURCE, "--out"]
        _make(fp32, reference, ["export", str(checkpoint), "--out", str(fp32)])
        _make(int8, reference, [*quantize, str(int8)])
        if network == FULL_RANGE:
            full = BUILD / f"{network}-full-range"
            _make(full, reference, [*quantize, str(full), "--full-range", "--max-drop", "100"])
        recorded = BUILD / f"{network}.npz"
        if not recorded.is_file() or read_recorded(recorded).reference != reference:
            _edgecnn(["evaluate", str(checkpoint), "--data", SOURCE, "--save-logits", str(recorded)])


def _make(out: Path, reference: str, command: list[str]) -> None:
    """Build a bundle, unless one of this reference stands."""
    try:
        if open_bundle(out).manifest.reference.digest == reference:
            return
    except BundleError:
        pass
    _edgecnn([*command, "--force"])


def _edgecnn(command: list[str]) -> None:
    print(f"$ edgecnn {' '.join(command)}", flush=True)
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    subprocess.run([sys.executable, "-m", "edgecnn", *command], env=environment, check=True, stdout=subprocess.DEVNULL)


def not_built() -> list[str]:
    """Return the networks of which nothing stands in `build/devices`."""
    return [network for network in NETWORKS if not (BUILD / f"{network}.npz").is_file()]


def built() -> Iterator[Subject]:
    """Yield what stands in `build/devices`, with the first test images: fewer for large networks."""
    split = open_source(SOURCE).split("test")
    for network in NETWORKS:
        recorded = BUILD / f"{network}.npz"
        if not recorded.is_file():
            continue
        logits = read_recorded(recorded).logits
        for kind in ("fp32", "int8", "full-range"):
            if not (BUILD / f"{network}-{kind}").is_dir():
                continue
            bundle = open_bundle(BUILD / f"{network}-{kind}")
            count = _IMAGES if (bundle.manifest.macs or 0) < _SLOW_MACS else _IMAGES_OF_SLOW
            pixels = split.pixels(np.arange(count), bundle.manifest.preprocessing)
            yield Subject(bundle, pixels, logits[:count], full_range=kind == "full-range")
