"""Settings: everything that a user can choose about the speed of a bundle."""

from dataclasses import dataclass

from edgecnn.runtime.engines.engine import Precision, SessionOptions


@dataclass(frozen=True)
class Setting:
    """One way to run a bundle.

    Attributes:
        engine: engine, or `pytorch`.
        device: as in `SessionOptions`.
        precision: precision of float operators.
        threads: threads of one run.
        instances: runs at the same time.
        batch: images of one run.
    """

    engine: str
    device: str = "cpu"
    precision: Precision = "fp32"
    threads: int = 1
    instances: int = 1
    batch: int = 1

    def __post_init__(self) -> None:
        if min(self.threads, self.instances, self.batch) < 1:
            raise ValueError(f"threads, instances and batch must be at least 1, found {self}")

    @property
    def options(self) -> SessionOptions:
        """Return the options for opening a session with this setting."""
        return SessionOptions(
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            instances=self.instances,
            one_by_one=self.batch == self.instances == 1,
        )

    def __str__(self) -> str:
        """Return a short description without default values."""
        device = "" if self.device == "cpu" else f" on {self.device}"
        precision = "" if self.precision == "fp32" else f", {self.precision}"
        instances = "" if self.instances == 1 else f", {self.instances} instances"
        batch = "" if self.batch == 1 else f", batch {self.batch}"
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.engine}{device}{precision}{threads}{instances}{batch}"
