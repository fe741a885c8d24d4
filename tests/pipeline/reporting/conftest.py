"""One browser per test file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import FileTab, chromium

from edgecnn.pages.page import Page

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium, for one file: tests of other files need their own event loops."""
    with chromium() as running:
        yield running


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Iterator[Callable[..., FileTab]]:
    """Open a page with settings of the browser. The test ends with a check that it logged nothing and was offline."""
    tabs: list[FileTab] = []

    def open_(page: Page, **settings: Any) -> FileTab:
        (tmp_path / "page.html").write_text(page.html)
        tabs.append(FileTab(browser, tmp_path / "page.html", **settings))
        return tabs[-1]

    yield open_
    for tab in tabs:
        tab.end()
