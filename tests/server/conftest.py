"""One server for all tests that leave it as it was, and folders of versions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from held_engine import Held, holding
from model_versions import NAME, put
from server_process import Server, serving


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """A server of the committed bundle."""
    with serving() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """That server; after each test it must be unharmed."""
    yield running
    running.unharmed()


@pytest.fixture(scope="module")
def holding_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """A server whose engine is in our hand: one image a run, so that what waits can be counted."""
    with holding(tmp_path_factory.mktemp("engine"), "--max-batch", 3, "--max-queue", 16) as held:
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
