"""The seam between edgecnn and the engines: what a backend and a session are.

Protocols rather than base classes, so that the PyTorch reference in `pipeline/` and a test's fake satisfy them from
outside. A backend translates its engine's errors into ours, in its own file.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from edgecnn.errors import EngineError
from edgecnn.runtime.engines.cache import CacheSlot

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True)
class Device:
    """A device that an engine can open: the name that `--device` takes, and what it is."""

    name: str
    description: str


@dataclass(frozen=True)
class SessionOptions:
    """How a session is opened.

    Attributes:
        device: `cpu`, `cuda[:N]`, `tensorrt[:N]`, `gpu[:N]`, `npu` or `auto`.
        precision: what float operators compute in; INT8 operators stay INT8.
        threads: None for as many as the process may really use.
        concurrency: how many threads will be inside `run` at once.
        exact_int8: whether 8-bit products are summed exactly where the processor's fastest way would saturate.
        one_by_one: whether nearly every run is of one image: an engine may compile for that, and runs more one by one.
        cache: where the compiled graph is kept between processes, or None; engines that keep none ignore it.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    threads: int | None = None
    concurrency: int = 1
    exact_int8: bool = False
    one_by_one: bool = False
    cache: CacheSlot | None = None


@dataclass(frozen=True)
class SessionInfo:
    """What really runs, read back from the engine after opening.

    Attributes:
        engine: its name, as in `--backend`.
        version: of the engine.
        device: name of the device that was opened.
        precision: what float operators really compute in.
        threads: for one run.
    """

    engine: str
    version: str
    device: str
    precision: Precision
    threads: int


class Session(Protocol):
    """A loaded model: one uint8 batch in, one float32 batch of logits out."""

    info: SessionInfo
    concurrency: int

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """Compute the logits of uint8 [N, H, W, C] as float32 [N, K], into `out` where given.

        Raises:
            EngineError: the engine failed, or the images have another shape or type.
        """
        ...

    def close(self) -> None:
        """Free the engine's memory; the session cannot run afterwards."""
        ...


@runtime_checkable
class StreamingSession(Session, Protocol):
    """A session of an engine that has a queue of its own for many batches; see `streaming.stream`."""

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the logits of batches, in their order, as many of them running at once as the engine has room for."""
        ...


class Backend(Protocol):
    """An engine.

    Attributes:
        name: as in `--backend`.
        version: of the package that is installed.
        symmetric_int8_only: kinds of device that compute INT8 only without zero points.
        has_exact_int8: whether it can sum 8-bit products exactly on every CPU; `open` ignores the wish where it cannot.
    """

    name: str
    version: str
    symmetric_int8_only: frozenset[str]
    has_exact_int8: bool

    def devices(self) -> tuple[Device, ...]:
        """List what this machine has and this engine can open."""
        ...

    def default_precision(self, model: Path, device: str) -> Precision | None:
        """Return what the engine computes a graph in when nobody asks, as other programs do; None if it does not tell.

        Raises:
            EngineError: the device is not there, or the engine refused the graph.
        """
        ...

    def open(self, model: Path, options: SessionOptions) -> Session:
        """Load a graph.

        Raises:
            DeviceUnavailable: the device is not there, or the engine opened another one.
            PrecisionUnavailable: the device does not compute in that precision.
            EngineError: the engine refused the graph.
        """
        ...


def check_logits(logits: np.ndarray, images: int, classes: int) -> np.ndarray:
    """Return the logits if their shape is [images, classes].

    Raises:
        EngineError: the logits have another shape.
    """
    if logits.shape != (images, classes):
        raise EngineError(f"the graph gives logits {list(logits.shape)} where {[images, classes]} are expected")
    return logits


def deliver(logits: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """Return the logits, copied to `out` if it is given.

    Raises:
        EngineError: the logits have another shape than `out`; NumPy would broadcast them.
    """
    if out is None:
        return logits
    np.copyto(out, check_logits(logits, *out.shape))
    return out


def check_process(opened_in: int) -> None:
    """Check that the process was not forked after it, `opened_in` by its id, opened the session.

    A fork has none of the engine's threads.

    Raises:
        EngineError: this is another process; a run would never end.
    """
    if os.getpid() != opened_in:
        raise EngineError("this session was opened before the process forked: open the bundle in each child itself")


def device_kind(device: str) -> str:
    """Return the kind of a device name: `cuda` of `cuda:1`."""
    return device.partition(":")[0]


def device_index(device: str) -> int:
    """Return the number of a device name: 1 of `cuda:1`, 0 where none is given."""
    _, _, number = device.partition(":")
    return int(number) if number.isdecimal() else 0
