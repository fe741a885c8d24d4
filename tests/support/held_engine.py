"""The hand on the engine of `fake_engine`: "busy" is a state that a test enters and leaves, not a matter of luck."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from server_process import Reply, Server, serving, wait_for

from edgecnn.host.child import child_environment

_PACKAGE = Path(__file__).parent / "fake_engine"


class Engine:
    """What the engine is told, and what it has noted; see `fake_engine`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        paths = [str(_PACKAGE), child_environment()["PYTHONPATH"]]
        self.environment = {"HELD_ENGINE": str(folder), "PYTHONPATH": os.pathsep.join(paths)}

    def tell(self, name: str, value: object = "") -> None:
        """Say something to it."""
        ready = self._folder / f".{name}"
        ready.write_text(str(value))
        ready.rename(self._folder / name)  # whole at once: it looks between any two bytes

    def untell(self, name: str) -> None:
        """Take it back."""
        (self._folder / name).unlink(missing_ok=True)

    def runs(self) -> list[int]:
        """Return the images of each run that has begun; those of the proofs too."""
        noted = self._folder / "runs"
        return [int(line) for line in noted.read_text().split()] if noted.exists() else []

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let no run end meanwhile."""
        self.tell("hold")
        try:
            yield
        finally:
            self.untell("hold")


class Held:
    """A server whose engine is in our hand, and clients of it in threads."""

    def __init__(self, server: Server, engine: Engine, clients: ThreadPoolExecutor) -> None:
        self.server = server
        self.engine = engine
        self._clients = clients

    def ask(self, images: int = 1, **parameters: object) -> "Future[Reply]":
        """Send a request, and wait for its answer elsewhere."""
        return self._clients.submit(self.server.infer, self.server.images[:images], **parameters)

    def occupy(self, images: int = 1) -> "Future[Reply]":
        """Send a request and return once the engine runs it; the engine must be held, and idle."""
        before = len(self.engine.runs())
        answer = self.ask(images)
        wait_for(lambda: len(self.engine.runs()) > before)
        return answer

    def queue(self, count: int, images: int = 1, **parameters: object) -> "list[Future[Reply]]":
        """Send requests and return once all of them wait in the server."""
        before = self.server.metrics()["in_flight"]
        answers = [self.ask(images, **parameters) for _ in range(count)]
        wait_for(lambda: self.server.metrics()["in_flight"] == before + count)
        return answers


@contextlib.contextmanager
def holding(folder: Path, *options: object, environment: dict[str, str] | None = None) -> Iterator[Held]:
    """Start a server whose engine is in our hand."""
    engine = Engine(folder)
    variables = engine.environment | (environment or {})
    with (
        ThreadPoolExecutor(64) as clients,
        serving("--backend", "openvino", *options, environment=variables) as server,
    ):
        try:
            yield Held(server, engine, clients)
        finally:
            engine.untell("hold")  # or neither server nor clients would ever end
