"""Fixtures for HTTP tests: a listener on each event loop, and a check of the log."""

import logging
from collections.abc import Iterator

import pytest
from http_site import LOOPS, Site, serving


@pytest.fixture(params=LOOPS)
def loop_kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def site(loop_kind: str) -> Iterator[Site]:
    """Yield a listener with default limits, on each event loop."""
    with serving(loop_kind) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that no client input makes the server log a warning or an error."""
    yield
    assert [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []
