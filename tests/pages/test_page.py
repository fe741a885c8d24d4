"""Pages of one file in Chromium: languages, themes and charts."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import FileTab, expect, violations

from edgecnn.pages.page import render, render_linked

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TEMPLATE = """{% extends "base.html" %}
{% block title_key %}sample.title{% endblock %}
{% block header %}<h1>{{ t("sample.title") }}</h1>{% endblock %}
{% block main %}<p>{{ t("sample.count", count=count) }}</p><figure id="chart"></figure>{% endblock %}
"""
SCRIPT = """import { drawChart } from "./charts.js";
import { pageData } from "./page.js";
import { t } from "./words.js";

const { losses, names } = pageData();
const epochs = losses.map((_, index) => index + 1);
drawChart(document.getElementById("chart"), () => ({
  title: t("sample.title"),
  x: { label: "epoch" },
  y: { label: "loss", log: true },
  series: [
    { label: names[0], kind: "line", x: epochs, y: losses },
    { label: "best", kind: "points", x: [3], y: [losses[2]], names: [names[0]] },
  ],
}));
"""
WORDS = {
    "en": {"sample.title": "Training", "sample.count": "{count} <b>epochs</b>"},
    "zh": {"sample.title": "训练", "sample.count": "{count} <b>轮</b>"},
}
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A package with one page."""
    folder = tmp_path_factory.mktemp("packages")
    files = {
        "__init__.py": "",
        "templates/sample.html": TEMPLATE,
        "static/sample.js": SCRIPT,
        **{f"words/{language}.json": json.dumps(texts) for language, texts in WORDS.items()},
    }
    for name, content in files.items():
        path = folder / "sample_page" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    sys.path.insert(0, str(folder))
    yield "sample_page"
    sys.path.remove(str(folder))


@pytest.fixture
def opened(package: str, browser: "Browser", tmp_path: Path) -> Iterator[Callable[..., FileTab]]:
    """Open the page with a language and settings of the browser."""
    tabs: list[FileTab] = []

    def open_(language: Any = "auto", **settings: Any) -> FileTab:
        data = {"losses": [10, 1, 0.1, None], "names": [HOSTILE]}
        page = render(
            package, "sample.html", scripts=("sample.js",), charts=True, language=language, data=data, count="<4>"
        )
        (tmp_path / "page.html").write_text(page.html)
        tabs.append(FileTab(browser, tmp_path / "page.html", **settings))
        return tabs[-1]

    yield open_
    for tab in tabs:
        tab.end()


@pytest.mark.parametrize(
    ("language", "locale", "title"),
    [("auto", "en-GB", "Training"), ("auto", "zh-TW", "训练"), ("auto", "fr", "Training"), ("zh", "en-US", "训练")],
)
def test_has_the_language_of_the_browser_or_the_option(
    opened: Callable[..., FileTab], language: str, locale: str, title: str
):
    page = opened(language, locale=locale).page
    expect(page.locator("h1")).to_have_text(title)
    assert page.title() == title
    assert page.locator("html").get_attribute("lang") == ("zh-Hans" if title == "训练" else "en")


def test_switches_the_language_and_keeps_it(opened: Callable[..., FileTab]):
    page = opened().page
    expect(page.locator("main p")).to_have_text("<4> epochs")
    page.click("#language")
    expect(page.locator("main p")).to_have_text("<4> 轮")
    expect(page.locator("#chart figcaption")).to_have_text("训练")
    expect(page.locator("#theme")).to_have_text("深色")
    page.reload()
    expect(page.locator("h1")).to_have_text("训练")


def test_the_theme_button_names_the_theme_that_it_leads_to(opened: Callable[..., FileTab]):
    page = opened(color_scheme="dark").page
    expect(page.locator("#theme")).to_have_text("Light")
    page.click("#theme")
    expect(page.locator("#theme")).to_have_text("Dark")
    assert page.locator("html").get_attribute("data-theme") == "light"


@pytest.mark.parametrize("settings", [{}, {"color_scheme": "dark", "viewport": {"width": 390, "height": 800}}])
def test_draws_a_chart_with_its_values(opened: Callable[..., FileTab], settings: dict[str, Any]):
    tab = opened(**settings)
    assert violations(tab) == []
    tab.page.locator("summary").click()
    rows = tab.page.locator("#chart details tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.nth(4)).to_have_text(f"{HOSTILE}30.1")
    assert tab.page.locator("#chart canvas").count() == 1
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_page_of_the_server_links_its_files(package: str):
    html = render_linked(package, "sample.html", scripts=("sample.js",), count=1)
    assert '<script type="module" src="web/sample.js"></script>' in html
    assert "<style>" not in html
    assert "Content-Security-Policy" not in html
