"""Our own server, and the subject that the suite makes of it."""

from collections.abc import Iterator

import pytest
from server_process import Server, serving

from edgecnn.conformance.connection import Client, parse_url
from edgecnn.conformance.discovery import discover
from edgecnn.conformance.subject import Subject


@pytest.fixture(scope="session")
def our_server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def ours(our_server: Server) -> Subject:
    return discover(Client(parse_url(f"http://127.0.0.1:{our_server.port}")))
