"""Servers for all tests that leave them as they were, a client of each protocol, and folders of versions."""

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
    """A client of each protocol."""
    return TRANSPORTS[request.param]


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    """A server of the committed bundle over HTTP and gRPC, for all test files."""
    with serving("--grpc-port", 0) as server:
        yield server


@pytest.fixture(scope="module")
def running(shared_server: Server) -> Server:
    """That server, whose footprint counts from here; a file may have another server instead."""
    shared_server.base = shared_server.settled()
    return shared_server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """That server; after each test it must be unharmed."""
    yield running
    running.unharmed()


@pytest.fixture(scope="session")
def holding_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """A server whose engine is in our hand: one image a run, so that what waits can be counted."""
    with holding(tmp_path_factory.mktemp("engine"), *HELD) as held:
        yield held


@pytest.fixture
def held(holding_server: Held) -> Iterator[Held]:
    """That server; after each test it must be unharmed."""
    yield holding_server
    holding_server.engine.untell("hold")
    holding_server.server.unharmed()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of versions, in which none is yet."""
    folder = tmp_path / NAME
    folder.mkdir()
    return folder


@pytest.fixture
def one_version(tmp_path: Path) -> Path:
    """A folder of versions with the first, alone in a folder of models."""
    folder = tmp_path / "models" / NAME
    folder.mkdir(parents=True)
    put(folder, 1)
    return folder
