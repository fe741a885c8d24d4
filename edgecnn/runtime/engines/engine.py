"""The interface between edgecnn and the engines: engines and sessions.

These are protocols, not base classes, so that the PyTorch reference in `pipeline/` and fakes in tests can implement
them. Each engine translates its engine's errors into edgecnn's errors.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
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
    """A device that an engine can open: its name, as in `--device`, and a description."""

    name: str
    description: str


@dataclass(frozen=True)
class SessionOptions:
    """Options for opening a session.

    Attributes:
        device: `cpu`, `cuda[:N]`, `tensorrt[:N]`, `gpu[:N]`, `npu` or `auto`.
        precision: precision of float operators; INT8 operators stay INT8.
        threads: threads of one run; None for the usable cores.
        instances: number of threads that call `run` at the same time.
        exact_int8: sum 8-bit products exactly, even if the processor's fastest instructions would saturate.
        one_by_one: optimize for runs of one image; larger batches then run image by image on some engines.
        takes_turns: another session runs on the same cores in turns with this one. Some engines let their threads wait
            actively after a run, for the next one, which slows down the other session.
        cache: where to keep the compiled graph, or None; some engines ignore it.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    threads: int | None = None
    instances: int = 1
    exact_int8: bool = False
    one_by_one: bool = False
    takes_turns: bool = False
    cache: CacheSlot | None = None


@dataclass(frozen=True)
class SessionInfo:
    """Properties of an open session, as the engine reports them.

    Attributes:
        engine: name, as in `--engine`.
        version: version of the engine.
        device: name of the opened device.
        precision: precision of float operators.
        threads: threads of one run.
    """

    engine: str
    version: str
    device: str
    precision: Precision
    threads: int


class Session(Protocol):
    """An opened graph: takes a uint8 batch, and returns a float32 batch of logits."""

    info: SessionInfo
    instances: int

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """Return the logits of uint8 [N, H, W, C] as float32 [N, K], written to `out` if it is given.

        Raises:
            EngineError: the engine failed, or the images have another shape or dtype.
        """
        ...

    def close(self) -> None:
        """Free the engine's memory. The session cannot run afterwards."""
        ...


@runtime_checkable
class StreamingSession(Session, Protocol):
    """A session whose engine has its own queue for batches; see `streaming.stream`."""

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the logits of batches in order, running as many batches at once as the engine allows."""
        ...


@runtime_checkable
class OutputsSession(Session, Protocol):
    """A session that also returns other outputs of the graph than the logits."""

    def outputs(self, names: Sequence[str], images: np.ndarray) -> list[np.ndarray]:
        """Return the named outputs of the graph for uint8 [N, H, W, C].

        Raises:
            EngineError: the engine failed, or the images have another shape or dtype.
        """
        ...


class Engine(Protocol):
    """An engine.

    Attributes:
        name: as in `--engine`.
        version: version of the installed package.
        symmetric_int8_only: kinds of device that support INT8 only without zero points.
        has_exact_int8: whether exact INT8 is available on every CPU; if not, `open` ignores `exact_int8`.
        packs_in_first_run: whether weights get their final place in memory in the first run, not in `open`.
    """

    name: str
    version: str
    symmetric_int8_only: frozenset[str]
    has_exact_int8: bool
    packs_in_first_run: bool

    def devices(self) -> tuple[Device, ...]:
        """Return the devices of this machine that the engine can open."""
        ...

    def default_precision(self, model: Path, device: str) -> Precision | None:
        """Return the engine's default precision for a graph; None if the engine does not report it.

        Raises:
            EngineError: the device is not available, or the engine rejected the graph.
        """
        ...

    def open(self, model: Path | bytes, options: SessionOptions) -> Session:
        """Open a graph from a file or from bytes.

        Raises:
            DeviceUnavailable: the device is not available, or the engine opened another one.
            PrecisionUnavailable: the device does not support the precision.
            OperatorMissing: the engine's version lacks the operator of 4-bit linear layers.
            EngineError: the engine rejected the graph.
        """
        ...


def check_logits(logits: np.ndarray, images: int, classes: int) -> np.ndarray:
    """Check that logits have the shape [images, classes], and return them.

    Raises:
        EngineError: the logits have another shape.
    """
    if logits.shape != (images, classes):
        raise EngineError(f"the graph returned logits of shape {list(logits.shape)}, expected {[images, classes]}")
    return logits


def deliver(logits: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """Return the logits, copied to `out` if it is given.

    Raises:
        EngineError: `out` has another shape. NumPy would broadcast the logits.
    """
    if out is None:
        return logits
    np.copyto(out, check_logits(logits, *out.shape))
    return out


def check_process(opened_in: int) -> None:
    """Check that this process, not its parent before a fork, opened the session.

    A forked process has none of the engine's threads, so a run would never end.

    Args:
        opened_in: ID of the process that opened the session.

    Raises:
        EngineError: another process opened the session.
    """
    if os.getpid() != opened_in:
        raise EngineError("the session was opened before the process forked: open the bundle in each child process")


def device_kind(device: str) -> str:
    """Return the kind of a device: `cuda` for `cuda:1`."""
    return device.partition(":")[0]


def device_index(device: str) -> int:
    """Return the number of a device: 1 for `cuda:1`, 0 if there is none."""
    _, _, number = device.partition(":")
    return int(number) if number.isdecimal() else 0
