"""The reference server, and the subject that the suite discovers on it."""

from collections.abc import Iterator

import pytest
from reference_server import serving

from oip_conformance.connection import Client, parse_url
from oip_conformance.discovery import discover
from oip_conformance.subject import Subject


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    """Return the port of the reference server."""
    with serving() as port:
        yield port


@pytest.fixture(scope="session")
def subject(port: int) -> Subject:
    return discover(Client(parse_url(f"http://127.0.0.1:{port}")))
