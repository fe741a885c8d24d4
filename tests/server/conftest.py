"""Shared servers, protocol clients and version folders for the server tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from held_engine import Held, holding
from model_versions import NAME, put
from server_process import Server, serving
from transports import TRANSPORTS, Transport

HELD = ("--max-batch", 3, "--max-queue", 16, "--grpc-port", 0)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Transport:
    """Return the client class of each protocol."""
    return TRANSPORTS[request.param]


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    """Serve the committed bundle over HTTP and gRPC, for all test files."""
    with serving("--grpc-port", 0) as server:
        yield server


@pytest.fixture(scope="module")
def running(shared_server: Server) -> Server:
    """Return the shared server with a fresh resource baseline. A test file may override this fixture."""
    shared_server.base = shared_server.settled()
    return shared_server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """Yield the running server and check after each test that it is unharmed."""
    yield running
    running.unharmed()


@pytest.fixture(scope="session")
def holding_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """Yield a server with a controllable engine that runs one image at a time."""
    with holding(tmp_path_factory.mktemp("engine"), *HELD) as held:
        yield held


@pytest.fixture
def held(holding_server: Held) -> Iterator[Held]:
    """Yield the held server and check after each test that it is unharmed."""
    yield holding_server
    holding_server.engine.clear("hold")
    holding_server.server.unharmed()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty model folder without versions."""
    folder = tmp_path / NAME
    folder.mkdir()
    return folder


@pytest.fixture
def one_version(tmp_path: Path) -> Path:
    """Return a model folder with version 1, inside a model repository."""
    folder = tmp_path / "models" / NAME
    folder.mkdir(parents=True)
    put(folder, 1)
    return folder
