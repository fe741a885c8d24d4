"""Settings: everything that a user can choose about the speed of a bundle."""

from dataclasses import dataclass

from edgecnn.runtime.engines.backend import Precision, SessionOptions

PYTORCH = "pytorch"
"""Backend name of the reference in PyTorch, for comparisons."""


@dataclass(frozen=True)
class Setting:
    """One way to run a bundle.

    Attributes:
        backend: engine, or `pytorch`.
        device: as in `SessionOptions`.
        precision: precision of float operators.
        threads: threads of one run.
        streams: runs at the same time.
        batch: images of one run.
    """

    backend: str
    device: str = "cpu"
    precision: Precision = "fp32"
    threads: int = 1
    streams: int = 1
    batch: int = 1

    def __post_init__(self) -> None:
        if min(self.threads, self.streams, self.batch) < 1:
            raise ValueError(f"threads, streams and batch must be at least 1, found {self}")

    @property
    def options(self) -> SessionOptions:
        """Return the options for opening a session with this setting."""
        return SessionOptions(
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            concurrency=self.streams,
            one_by_one=self.batch == self.streams == 1,
        )

    def __str__(self) -> str:
        """Return a short description without default values."""
        device = "" if self.device == "cpu" else f" on {self.device}"
        precision = "" if self.precision == "fp32" else f", {self.precision}"
        streams = "" if self.streams == 1 else f", {self.streams} streams"
        batch = "" if self.batch == 1 else f", batch {self.batch}"
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.backend}{device}{precision}{threads}{streams}{batch}"
