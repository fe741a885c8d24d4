"""Control of the engine in `fake_engine`, so that tests decide when the engine is busy."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from repository import COMMITTED
from server_process import Reply, Server, serving, wait_for

from edgecnn.host.child import child_environment

_PACKAGE = Path(__file__).parent / "fake_engine"


class Engine:
    """The control files and the log of the engine; see `fake_engine`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        paths = [str(_PACKAGE), child_environment()["PYTHONPATH"]]
        self.environment = {"HELD_ENGINE": str(folder), "PYTHONPATH": os.pathsep.join(paths)}

    def set(self, name: str, value: object = "") -> None:
        """Create a control file."""
        ready = self._folder / f".{name}"
        ready.write_text(str(value))
        ready.rename(self._folder / name)  # renamed in one step: the engine may read at any time

    def clear(self, name: str) -> None:
        """Delete a control file."""
        (self._folder / name).unlink(missing_ok=True)

    def runs(self) -> list[int]:
        """Return the number of images of each started run, proofs included."""
        noted = self._folder / "runs"
        return [int(line) for line in noted.read_text().split()] if noted.exists() else []

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep every run from finishing."""
        self.set("hold")
        try:
            yield
        finally:
            self.clear("hold")


class Held:
    """A server with a controllable engine, and clients in threads."""

    def __init__(self, server: Server, engine: Engine, clients: ThreadPoolExecutor) -> None:
        self.server = server
        self.engine = engine
        self._clients = clients

    def ask(self, images: int = 1, **parameters: object) -> "Future[Reply]":
        """Send a request in another thread."""
        return self._clients.submit(self.server.infer, self.server.images[:images], **parameters)

    def occupy(self, images: int = 1) -> "Future[Reply]":
        """Send a request and return once the engine runs it. The engine must be held and idle."""
        before = len(self.engine.runs())
        answer = self.ask(images)
        wait_for(lambda: len(self.engine.runs()) > before)
        return answer

    def queue(self, count: int, images: int = 1, **parameters: object) -> "list[Future[Reply]]":
        """Send requests and return once all of them are queued in the server."""
        before = self.server.metrics()["in_flight"]
        answers = [self.ask(images, **parameters) for _ in range(count)]
        wait_for(lambda: self.server.metrics()["in_flight"] == before + count)
        return answers


@contextlib.contextmanager
def holding(
    folder: Path,
    *options: object,
    bundles: Sequence[Path] = (COMMITTED,),
    environment: dict[str, str] | None = None,
) -> Iterator[Held]:
    """Start a server with a controllable engine."""
    engine = Engine(folder)
    variables = engine.environment | (environment or {})
    with (
        ThreadPoolExecutor(64) as clients,
        serving("--engine", "openvino", *options, bundles=bundles, environment=variables) as server,
    ):
        try:
            yield Held(server, engine, clients)
        finally:
            for hold in folder.glob("hold*"):
                engine.clear(hold.name)  # otherwise neither the server nor the clients would end
