"""The system's Chromium for tests of web pages, and a tab that records requests and errors.

Without Chromium these tests are skipped. If the variable CI is set, they fail instead, so that CI runs them.
"""

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from handwriting import Line
from server_process import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, LocatorAssertions, Page, Request, Response

TIMEOUT_MS = 20_000
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = [
    "--no-sandbox",  # containers run as root, where the sandbox cannot work
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@contextlib.contextmanager
def chromium() -> Iterator["Browser"]:
    """Run Chromium. Meanwhile Playwright's event loop is the only one in this thread."""
    if problem := _missing():
        assert "CI" not in os.environ, problem
        pytest.skip(problem)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_path(), args=_OPTIONS)
        yield browser
        browser.close()


def expect(found: "Locator") -> "LocatorAssertions":
    """Return Playwright's assertions, which wait until the page matches."""
    from playwright import sync_api

    sync_api.expect.set_options(timeout=TIMEOUT_MS)
    return sync_api.expect(found)


def _missing() -> str | None:
    """Return which program is missing, and how to install it."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install -e '.[dev]'"
    return None if _path() else "Chromium is not installed: apt-get install chromium"


def _path() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Tab:
    """A browser tab that records all requests and errors.

    Attributes:
        page: the tab.
        bad: answers other than 2xx and 304, as (status, path). A test checks them.
    """

    def __init__(self, browser: "Browser", home: str, **settings: Any) -> None:
        """Open a tab with Playwright's context settings. Only requests to `home`, an address, are expected."""
        self._context = browser.new_context(**settings)
        self._context.set_default_timeout(TIMEOUT_MS)
        self.page: Page = self._context.new_page()
        self.bad: list[tuple[int, str]] = []
        self._hosts: set[str] = set()
        self._home = home
        self._problems: list[str] = []
        self._context.on("request", self._requested)
        self.page.on("response", self._answered)
        self.page.on("console", lambda message: self._complained(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self._complained(f"uncaught: {error}"))

    def end(self) -> None:
        """Close the tab; check that it logged no errors and sent no requests to other hosts."""
        self._context.close()
        assert self._problems == []
        assert self._hosts <= {self._home}, "the page sent requests to other hosts"

    def _requested(self, request: "Request") -> None:
        scheme, _, rest = request.url.partition("://")
        if scheme not in {"blob", "data"} and not request.url.startswith(("blob:", "data:")):
            self._hosts.add(f"{scheme}://{rest.split('/')[0]}/")

    def _answered(self, response: "Response") -> None:
        if not (response.ok or response.status == 304):
            self.bad.append((response.status, response.url.removeprefix(self._home)))

    def _complained(self, text: str) -> None:
        # Chromium logs every error answer. `bad` records them with their path.
        if not text.startswith("error: Failed to load resource: "):
            self._problems.append(text)


class FileTab(Tab):
    """A tab with a page that is a file."""

    def __init__(self, browser: "Browser", path: Path, **settings: Any) -> None:
        super().__init__(browser, "file:///", **settings)
        self.page.goto(path.as_uri())


class Visit(Tab):
    """A tab with the server's page."""

    def __init__(self, browser: "Browser", server: Server, *, stands_still: bool = False, **settings: Any) -> None:
        """Open a tab with Playwright's context settings; `stands_still` stops its clock."""
        home = f"http://127.0.0.1:{server.port}"
        super().__init__(browser, f"{home}/", base_url=home, **settings)
        if stands_still:
            self.page.clock.install()

    def open(self, *, wait: bool) -> "Visit":
        """Open the page; with `wait`, wait until it has found the server's models."""
        self.page.goto("/")
        if wait:
            self.page.wait_for_selector("#connection[data-state=ready]")
        return self

    def draw(self, lines: list[Line]) -> None:
        """Draw lines with the mouse."""
        pad = self.page.locator("#pad")
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        assert box is not None
        for line in lines:
            points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in line]
            self.page.mouse.move(*points[0])
            self.page.mouse.down()
            for point in points[1:]:
                self.page.mouse.move(*point)
            self.page.mouse.up()

    def drop(self, name: str, content_type: str, content: bytes, *, zeros: int = 0) -> None:
        """Drop a file onto the page, with `zeros` zero bytes after its content."""
        self.page.evaluate(
            """([name, type, bytes, zeros]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes), new Uint8Array(zeros)], name, { type }));
                for (const kind of ["dragover", "drop"]) {
                    document.getElementById("drop").dispatchEvent(
                        new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
                }
            }""",
            [name, content_type, list(content), zeros],
        )

    def answers(self) -> "Locator":
        """Return the most probable label of each model that has answered."""
        return self.page.locator("#answer .first .label")


def violations(visit: Tab) -> list[str]:
    """Return the violations that axe-core finds: WCAG 2.2 A and AA, and best practices."""
    from axe_playwright_python.sync_playwright import Axe

    # The debugger evaluates it, so the page's security policy need not change.
    found = Axe().run(visit.page).response["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]
