"""The page of a comparison of networks, in Chromium."""

from collections.abc import Callable

import pytest
from browser import FileTab, expect, violations
from reported import CLASSES, HOSTILE, many_classes, networks_content

from edgecnn.bundle.store import Bundle
from edgecnn.pages.page import Page
from edgecnn.pipeline.reporting.networks_page import networks_page

PHONE = {"width": 390, "height": 844}
Opened = Callable[..., FileTab]


@pytest.fixture
def page(committed: Bundle) -> Page:
    return networks_page(networks_content(committed))


@pytest.mark.parametrize(
    "settings",
    [pytest.param({"color_scheme": "light"}, marks=pytest.mark.slow), {"color_scheme": "dark", "viewport": PHONE}],
)
def test_is_accessible_and_fits(page: Page, opened: Opened, settings: dict):
    tab = opened(page, **settings)
    assert violations(tab) == []
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.page.locator(".uplot canvas").count() == 4


def test_names_what_failed_and_that_the_machine_was_busy(page: Page, opened: Opened):
    tab = opened(page)
    expect(tab.page.locator(".notice").first).to_contain_text(HOSTILE)
    expect(tab.page.locator(".notice").nth(1)).to_contain_text("busy")
    assert tab.page.locator("img[src=x]").count() == 0
    expect(tab.page.locator("#figures ~ ul")).to_contain_text("resnet18-int8")


@pytest.mark.slow
def test_has_a_row_for_each_bundle_and_marks_the_front(page: Page, opened: Opened):
    tab = opened(page)
    rows = tab.page.locator(".figures tbody tr")
    assert rows.count() == 4
    assert tab.page.locator(".figures .front").count() == 1
    expect(rows.first.locator(".front")).to_have_text("★")


@pytest.mark.slow
def test_follows_the_language(page: Page, opened: Opened):
    tab = opened(page, locale="zh-CN")
    expect(tab.page.locator("h1")).to_have_text("网络比较")
    expect(tab.page.locator("#pareto-chart figcaption")).to_contain_text("延迟")
    tab.page.click("#language")
    expect(tab.page.locator("#pareto-chart figcaption")).to_contain_text("latency")


@pytest.mark.slow
def test_shows_a_thousand_classes_by_their_most_confused_pairs(committed: Bundle, opened: Opened):
    page = networks_page(networks_content(committed, many_classes(1000)), "zh")
    assert len(page.html) < 500_000
    tab = opened(page)
    assert violations(tab) == []
    assert tab.page.locator(".matrix").count() == 0


@pytest.mark.slow
def test_shows_few_classes_as_a_matrix(page: Page, opened: Opened):
    tab = opened(page)
    tab.page.locator("details summary", has_text="Confusion matrix").first.click()
    matrix = tab.page.locator(".matrix").first
    assert [each.strip() for each in matrix.locator("thead th").all_inner_texts()] == list(CLASSES)
    expect(matrix.locator("tbody tr").last.locator("td.right")).to_have_text("")  # no test image of this class


@pytest.mark.slow
def test_is_printed_in_light_colours(page: Page, opened: Opened):
    tab = opened(page, color_scheme="dark")
    tab.page.emulate_media(media="print")
    expect(tab.page.locator(".controls")).to_be_hidden()
    assert tab.page.evaluate("getComputedStyle(document.body).color") == "rgb(18, 22, 28)"
