"""Controls a worker: one candidate in a separate process, as a `Runner`."""

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from edgecnn.errors import EngineCrashed, EngineError
from edgecnn.files import schema
from edgecnn.host.child import child_command, child_environment, last_line, signal_name
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.verification.replay import SelfTestResult
from edgecnn.tuning.measuring.steady import LIMIT_S, WarmUp
from edgecnn.tuning.measuring.turn import Turn
from edgecnn.tuning.measuring.worker import Memory, Opened

WORKER = "edgecnn.tuning.measuring.worker"
TIMEOUT_S = 120.0
"""Time limit of one answer, beyond the requested duration. Large networks open slowly on small devices."""

_END_S = 5.0

T = TypeVar("T")


class MeasuringProcess:
    """A candidate in a separate process. Close it, or use it in a `with` block."""

    def __init__(
        self,
        path: Path,
        setting: Setting,
        *,
        images: Path | None = None,
        modules: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Start the process, which opens the path: a bundle, or the input of the engine's module in `modules`.

        It runs the images of the file `images`, uint8 [N, H, W, C] as `np.save` writes them, or of the self-test. An
        answer may take `timeout_s` longer than the requested duration.

        Raises:
            EngineCrashed: the process crashed, or did not answer in time.
            EngineError: the engine rejected the bundle or the setting.
        """
        self.setting = setting
        self._timeout_s = timeout_s
        module = (modules or {}).get(setting.engine, WORKER)
        arguments = [str(path), json.dumps(schema.plain(setting)), *([] if images is None else [str(images)])]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # until `close`
        self._process = subprocess.Popen(
            child_command(module, *arguments),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            errors="replace",
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.opened = self._answer(Opened, timeout_s)
        except BaseException:
            self.close()
            raise

    def warm_up(self, limit_s: float = LIMIT_S) -> WarmUp:
        """Run until the times show no trend."""
        return self._ask({"warm_up": limit_s}, WarmUp, limit_s)

    def turn(self, seconds: float) -> Turn:
        """See `Runner`."""
        return self._ask({"turn": seconds}, Turn, seconds)

    def replay(self) -> SelfTestResult:
        """Run the bundle's self-test."""
        return self._ask({"replay": 0}, SelfTestResult, 0)

    def memory(self) -> Memory:
        """Return the current memory of the process."""
        return self._ask({"memory": 0}, Memory, 0)

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def __enter__(self) -> "MeasuringProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, command: dict[str, float], cls: type[T], seconds: float) -> T:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the process has ended: `_answer` reports how
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        return self._answer(cls, seconds + self._timeout_s)

    def _answer(self, cls: type[T], timeout_s: float) -> T:
        try:
            line = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            self._process.kill()
            raise EngineCrashed(f"{self.setting.engine} did not answer within {timeout_s:.0f} s") from None
        if not line:
            raise EngineCrashed(f"{self.setting.engine} crashed: {self._how_it_ended()}")
        try:
            document = json.loads(line)
            if isinstance(document, dict) and "error" in document:
                raise EngineError(document["error"])
            return schema.read(cls, document)
        except ValueError as error:  # the process died while writing, or another library wrote to the pipe
            self._process.kill()
            raise EngineCrashed(f"{self.setting.engine} sent an invalid answer: {error}") from None

    def _read(self) -> None:
        """Put answers into the queue, and an empty one when the pipe closes."""
        assert self._process.stdout is not None
        try:
            with self._process.stdout as answers:
                for line in answers:
                    self._answers.put(line)
        finally:
            self._answers.put("")

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return "it hung while exiting"
        name = signal_name(code)
        if name is not None:
            return name
        self._stderr.seek(0)
        said = last_line(self._stderr.read())
        return f"exit code {code}, {said}" if said else f"exit code {code}"
