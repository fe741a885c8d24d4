"""One browser per test file, and visits of the page that are checked at the end."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from browser import Visit, chromium
from server_process import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium, for one file: tests of other files need their own event loops."""
    with chromium() as running:
        yield running


@pytest.fixture
def visiting(browser: "Browser") -> Iterator[Callable[..., Visit]]:
    """Visit a server's page, any number of times."""
    visits: list[Visit] = []

    def visit(server: Server, *, wait: bool = True, **settings: Any) -> Visit:
        visits.append(Visit(browser, server, **settings))
        return visits[-1].open(wait=wait)

    yield visit
    for each in visits:
        each.end()
