"""A listener on each event loop, and silence."""

import logging
from collections.abc import Iterator

import pytest
from http_site import LOOPS, Site, serving


@pytest.fixture(params=LOOPS)
def loop_kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def site(loop_kind: str) -> Iterator[Site]:
    """With the usual limits, on each loop."""
    with serving(loop_kind) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client, whatever it sends, makes the server log anything."""
    yield
    assert [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []
