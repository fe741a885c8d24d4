"""The chapters on networks in Chromium: diagrams, charts, choices, both languages, both themes, a phone."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import FileTab, expect, violations

from edgecnn.learning.architectures.counts import Counts
from edgecnn.learning.architectures.measurements import read
from edgecnn.learning.chapters import NETWORKS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB"}
PHONE_DARK_ZH = {"viewport": {"width": 390, "height": 844}, "locale": "zh-CN", "color_scheme": "dark"}
CHARTS = {"googlenet": 1, "resnet": 2, "compared": 2, "gradients": 2, "overfitting": 3}
FAST = "resnet"  # the slow tests open every chapter
ALL = [pytest.param(each.name, marks=() if each.name == FAST else pytest.mark.slow) for each in NETWORKS]


def check(page: "Page") -> None:
    """Check what every page must have."""
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")


@pytest.mark.parametrize("name", ALL)
def test_chapter_is_drawn_in_both_languages_and_themes(browser: "Browser", site: Path, name: str):
    tab = FileTab(browser, site / f"{name}.html", **DESKTOP)
    page = tab.page
    expect(page.locator(".chart canvas")).to_have_count(CHARTS.get(name, 0))
    check(page)
    assert violations(tab) == []
    english = page.inner_text("main")
    page.click("#theme")
    page.click("#language")
    assert page.inner_text("main") != english
    assert "learn.nets." not in page.inner_text("main")
    expect(page.locator(".chart canvas")).to_have_count(CHARTS.get(name, 0))
    assert violations(tab) == []
    tab.end()


@pytest.mark.parametrize("name", ALL)
def test_chapter_fits_a_phone(browser: "Browser", site: Path, name: str):
    tab = FileTab(browser, site / f"{name}.html", **PHONE_DARK_ZH)
    check(tab.page)
    assert violations(tab) == []
    tab.end()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chapter", "blocks"), [("lenet", 10), ("alexnet", 16), ("vgg", 26), ("googlenet", 21), ("resnet", 14)]
)
def test_blocks_are_those_of_the_layer_table(browser: "Browser", site: Path, chapter: str, blocks: int):
    tab = FileTab(browser, site / f"{chapter}.html", **DESKTOP)
    counted = next(each for each in read(Counts, "counts").networks if each.name.startswith(chapter))
    expect(tab.page.locator("#blocks li")).to_have_count(blocks)
    expect(tab.page.locator("#layers tbody tr")).to_have_count(len(counted.layers))
    expect(tab.page.locator("#layers tfoot tr").last).to_contain_text(f"{counted.parameters:,}")
    tab.end()


@pytest.mark.slow
def test_digits_pass_through_lenet(browser: "Browser", site: Path):
    tab = FileTab(browser, site / "lenet-digits.html", **DESKTOP)
    for label in "07":
        tab.page.check(f"input[value='{label}']", force=True)
        expect(tab.page.locator(".best th")).to_have_text([label, label])
        expect(tab.page.locator("#steps")).to_contain_text(f"Answer: {label} (the image is a {label})")
    expect(tab.page.locator("#steps > li")).to_have_count(10)
    expect(tab.page.locator(".conv2 img")).to_have_count(16)
    tab.end()


@pytest.mark.slow
def test_overfitting_shows_the_chosen_training(browser: "Browser", site: Path):
    tab = FileTab(browser, site / "overfitting.html", **DESKTOP)
    expect(tab.page.locator("#reading")).to_contain_text("100 % of the training images are right")
    tab.page.check("input[name=variant][value='3']", force=True)
    expect(tab.page.locator("#reading")).to_contain_text("20 times as many images")
    tab.end()


@pytest.mark.slow
def test_maps_belong_to_the_chosen_photograph(browser: "Browser", site: Path):
    tab = FileTab(browser, site / "edges-to-objects.html", **DESKTOP)
    expect(tab.page.locator("#guesses th").first).to_have_text("Egyptian cat")
    cat = tab.page.locator(".seen").nth(2).inner_text()
    tab.page.check("input[name=photograph][value='1']", force=True)
    expect(tab.page.locator("#guesses th").first).to_have_text("bell cote")
    assert tab.page.locator(".seen").nth(2).inner_text() != cat
    tab.page.check("input[name=view][value=map]", force=True)
    expect(tab.page.locator(".seen .over")).to_have_count(0)
    tab.end()
