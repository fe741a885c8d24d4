"""One server for all tests that do not change it."""

from collections.abc import Iterator

import pytest
from server_process import Server, serving

from edgecnn import Client


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """A server of the committed bundle."""
    with serving() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """The running server; after each test, check that it still works."""
    yield running
    running.unharmed()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of the server."""
    with Client(f"http://127.0.0.1:{server.port}") as client:
        yield client
