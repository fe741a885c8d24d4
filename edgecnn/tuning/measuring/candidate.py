"""A bundle under one setting, in its own process. Its failures do not affect other candidates."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineCrashed, EngineError
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.verification.replay import SelfTestResult
from edgecnn.tuning.measuring.process import TIMEOUT_S, MeasuringProcess
from edgecnn.tuning.measuring.steady import LIMIT_S, WarmUp
from edgecnn.tuning.measuring.turn import Turn
from edgecnn.tuning.measuring.worker import Memory

Answer = TypeVar("Answer")


class Candidate:
    """A bundle and setting to measure in a separate process. Implements `Runner`.

    Attributes:
        bundle: the bundle.
        setting: the setting.
        failure: why it does not run, or stopped running; None while it runs.
        crashed: whether its process crashed or hung.
    """

    def __init__(
        self,
        bundle: Bundle,
        setting: Setting,
        *,
        images: Path | None = None,
        modules: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Args: `images`, `modules` and `timeout_s` are as in `MeasuringProcess`."""
        self.bundle = bundle
        self.setting = setting
        self.failure: str | None = None
        self.crashed = False
        self.session: SessionInfo | None = None
        self.warmed: WarmUp | None = None
        self.open_s = 0.0
        self.notes: tuple[str, ...] = ()
        self._images = images
        self._modules = modules
        self._timeout_s = timeout_s
        self._worker: MeasuringProcess | None = None

    def __str__(self) -> str:
        return f"{self.bundle.manifest.name} ({self.bundle.manifest.precision}) on {self.setting}"

    def open(self, *, warm_up_s: float = LIMIT_S) -> bool:
        """Open the bundle and warm up. Return whether that succeeded."""
        if self.failure is not None:
            return False
        if self._worker is None:
            try:
                self._worker = MeasuringProcess(
                    self.bundle.path,
                    self.setting,
                    images=self._images,
                    modules=self._modules,
                    timeout_s=self._timeout_s,
                )
                opened = self._worker.opened
                self.session, self.open_s, self.notes = opened.session, opened.seconds, opened.notes
                self.warmed = self._worker.warm_up(warm_up_s)
            except EngineError as error:
                self._fail(error)
                return False
        return True

    def turn(self, seconds: float) -> Turn | None:
        """See `Runner`."""
        return self._ask(lambda worker: worker.turn(seconds))

    def replay(self) -> SelfTestResult | None:
        """Run the bundle's self-test. Return None if the engine fails."""
        return self._ask(MeasuringProcess.replay)

    def memory(self) -> Memory:
        """Return the memory of the process; none if it does not run."""
        return self._ask(MeasuringProcess.memory) or Memory(0)

    def close(self) -> None:
        """End the process. It can be opened again."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def __enter__(self) -> "Candidate":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, question: Callable[[MeasuringProcess], Answer]) -> Answer | None:
        """Send a request to the process. Return None if it does not run, or fails."""
        try:
            return None if self._worker is None else question(self._worker)
        except EngineError as error:
            self._fail(error)
            return None

    def _fail(self, error: EngineError) -> None:
        self.failure = str(error)
        self.crashed = isinstance(error, EngineCrashed)
        self.close()
