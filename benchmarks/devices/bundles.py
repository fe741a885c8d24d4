"""The bundles of `check.py`: the committed one, and the zoo's networks as FP32 and INT8 in `build/devices`.

PyTorch's answers are recorded here once (`edgecnn evaluate --save-logits`), because devices have no PyTorch. Existing
bundles are kept, so that an interrupted run can continue. A bundle of another checkpoint is rebuilt.
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
from edgecnn.pipeline.reference import identity_of
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.runtime.verification.recorded import read_recorded

NETWORKS = ("lenet", "alexnet", "vgg11_bn", "googlenet", "resnet18")
FULL_RANGE = "lenet"
"""The network that is also quantized with full-range weights, which saturate on some processors."""

SOURCE = "fashion-mnist"
BUILD = BUILDS / "devices"
_IMAGES = 200
_IMAGES_OF_SLOW = 50
_SLOW_MACS = 100_000_000
"""Beyond this number of MACs an emulated image takes about a second or more."""


@dataclass(frozen=True)
class Subject:
    """A bundle, and PyTorch's answers to some images.

    Attributes:
        bundle: the bundle.
        images: uint8 [N, H, W, C].
        logits: float32 [N, K], the reference's, from PyTorch.
        full_range: whether its INT8 weights exceed ±64.
    """

    bundle: Bundle
    images: np.ndarray
    logits: np.ndarray
    full_range: bool = False


def committed() -> Subject:
    """Return the committed bundle; its self-test contains PyTorch's logits."""
    bundle = open_bundle(COMMITTED)
    self_test = bundle.self_test()
    return Subject(bundle, self_test.images, self_test.logits)


def build(zoo: Path) -> None:
    """Export and quantize the zoo's networks and record PyTorch's answers; print which networks are missing."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for network in NETWORKS:
        checkpoint = zoo / f"{network}-{SOURCE}"
        if not checkpoint.is_dir():
            print(f"{network}: skipped, {checkpoint} does not exist (make zoo)", flush=True)
            continue
        reference = identity_of(read_checkpoint(checkpoint).reference)
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
    """Build a bundle, unless one of this reference exists."""
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
    """Return the networks without a bundle in `build/devices`."""
    return [network for network in NETWORKS if not (BUILD / f"{network}.npz").is_file()]


def built() -> Iterator[Subject]:
    """Yield the existing bundles with the first test images: fewer for large networks."""
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
