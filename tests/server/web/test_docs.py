"""The page of the OpenAPI document: all requests, by keyboard, in dark mode, on phones, and without other sites."""

import re
from collections.abc import Callable

import pytest
from browser import Visit, expect, violations
from server_process import Server

Visiting = Callable[..., Visit]


def opened(server: Server, visiting: Visiting, part: str = "", **settings: object) -> Visit:
    """Visit the page, at a part of it."""
    visit = visiting(server, **settings)
    visit.page.goto(f"http://127.0.0.1:{server.port}/docs#{part}")
    expect(visit.page.locator("#operations details").first).to_be_visible()
    return visit


def test_shows_each_request_and_schema(server: Server, visiting: Visiting):
    visit, found = opened(server, visiting), server.get("/openapi.json").json
    count = sum(len(item) - ("parameters" in item) for item in found["paths"].values())
    expect(visit.page.locator("#operations details")).to_have_count(count)
    expect(visit.page.locator("#schemas details")).to_have_count(len(found["components"]["schemas"]))


def test_works_by_keyboard(server: Server, visiting: Visiting):
    visit = opened(server, visiting, f"infer-{server.name}")
    operation = visit.page.locator(f'[id="infer-{server.name}"]')
    expect(operation.locator("summary")).to_be_focused()
    expect(operation.get_by_role("link", name=f"InferRequest.{server.name}")).to_be_visible()
    expect(operation.locator("tbody th").filter(has_text="probabilities")).to_be_visible()
    visit.page.keyboard.press("Enter")
    expect(operation).not_to_have_attribute("open", "")
    visit.page.keyboard.press("Space")
    operation.get_by_role("link", name=f"InferRequest.{server.name}").press("Enter")
    expect(visit.page.locator(f'[id="schema-InferRequest.{server.name}"] pre')).to_contain_text('"outputs"')


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_fits_the_screen_in_both_schemes(scheme: str, width: int, server: Server, visiting: Visiting):
    settings = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    visit = opened(server, visiting, f"infer-{server.name}", **settings)
    dark = "rgb(14, 17, 22)"
    expect(visit.page.locator("body")).to_have_css(
        "background-color", dark if scheme == "dark" else re.compile("24[0-9]")
    )
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    assert violations(visit) == []


@pytest.mark.slow
def test_the_main_page_links_to_it(server: Server, visiting: Visiting):
    visit = visiting(server)
    visit.page.get_by_role("link", name="API").click()
    expect(visit.page.locator("h1")).to_have_text("edgecnn API")
