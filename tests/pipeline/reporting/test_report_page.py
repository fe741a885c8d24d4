"""The page of a report, in Chromium."""

import dataclasses
from collections.abc import Callable

import pytest
from browser import FileTab, expect, violations
from reported import CLASSES, HOSTILE, many_classes, random_metrics, with_classes

from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.store import Bundle
from edgecnn.pages.page import Page
from edgecnn.pipeline.reporting.answers import BundleAnswers, FamilyAnswers
from edgecnn.pipeline.reporting.report_page import report_page
from edgecnn.pipeline.reporting.reporting import ReportContent, make_report

PHONE = {"width": 390, "height": 844}
Opened = Callable[..., FileTab]


@pytest.fixture(scope="module")
def pair(fp32_bundle: Bundle, int8_bundle: Bundle) -> ReportContent:
    return make_report([int8_bundle, fp32_bundle], data="digits", command=f"edgecnn report '{HOSTILE}'")


@pytest.fixture(scope="module")
def page(pair: ReportContent) -> Page:
    return report_page(pair)


def made_up(committed: Bundle, labels: tuple[str, ...]) -> ReportContent:
    """Return a report of a bundle with other classes, and random answers."""
    content = make_report([committed])
    (report,) = content.families
    subject = dataclasses.replace(report.family.first, bundle=with_classes(committed, labels), name=HOSTILE)
    family = dataclasses.replace(report.family, subjects=(subject,))
    session = content.here[0].session
    assert session is not None
    answers = FamilyAnswers(
        DataReference(HOSTILE, "test", 200, "a" * 64), (BundleAnswers(subject, session, random_metrics(labels)),), ()
    )
    return dataclasses.replace(content, families=(dataclasses.replace(report, family=family, answers=answers),))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"color_scheme": "light"}, {"color_scheme": "dark", "viewport": PHONE}])
def test_is_accessible_and_fits(page: Page, opened: Opened, settings: dict):
    tab = opened(page, **settings)
    assert violations(tab) == []
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.page.locator(".uplot canvas").count() == 3
    assert len(page.html.encode()) < 1_000_000


@pytest.mark.slow
def test_compares_int8_with_fp32(pair: ReportContent, page: Page, opened: Opened):
    (report,) = pair.families
    assert report.answers is not None
    (compared,) = report.answers.pairs
    tab = opened(page)
    assert tab.page.locator(".panel-card h3").all_inner_texts()[:2] == ["lenet-digits-fp32", "lenet-digits-int8"]
    expect(tab.page.locator("body")).to_contain_text(str(compared.agreement.agreement))
    assert tab.page.locator(".flip img").count() == min(24, compared.agreement.flipped)
    assert tab.page.locator(".matrix").count() == 2
    for matrix in tab.page.locator(".matrix").all():
        cells = matrix.locator("td.number").all_inner_texts()
        assert sum(int(text) for text in cells if text.strip()) == report.answers.data.images


@pytest.mark.slow
def test_shows_the_histogram_of_the_chosen_layer(pair: ReportContent, page: Page, opened: Opened):
    tab = opened(page)
    layers = pair.families[0].values.layers
    tab.page.select_option("#layer-0", str(len(layers) - 1))
    expect(tab.page.locator("#histogram-0 figcaption")).to_contain_text(layers[-1].layer)


@pytest.mark.slow
def test_follows_the_language(page: Page, opened: Opened):
    tab = opened(page, locale="zh-CN")
    expect(tab.page.locator("h1")).to_have_text("模型报告")
    expect(tab.page.locator("#ranges-0 figcaption")).to_have_text("各层输出的范围")
    tab.page.click("#language")
    expect(tab.page.locator("#ranges-0 figcaption")).to_have_text("Range of each layer's output")


@pytest.mark.slow
def test_prints_on_white_without_controls(page: Page, opened: Opened):
    tab = opened(page, color_scheme="dark")
    tab.page.emulate_media(media="print")
    expect(tab.page.locator(".controls")).to_be_hidden()
    expect(tab.page.locator("#layer-0")).to_be_hidden()
    assert tab.page.evaluate("getComputedStyle(document.body).color") == "rgb(18, 22, 28)"
    assert tab.page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.parametrize("labels", [CLASSES, many_classes(1000)], ids=["few", "many"])
def test_names_of_classes_are_text(labels: tuple[str, ...], committed: Bundle, opened: Opened):
    page = report_page(made_up(committed, labels))
    assert len(page.html) < 500_000
    tab = opened(page, viewport=PHONE)
    assert violations(tab) == []
    assert tab.page.locator("img[src=x]").count() == 0
    expect(tab.page.locator("h3", has_text=HOSTILE).first).to_be_visible()
    assert tab.page.locator(".matrix").count() == (1 if len(labels) == 5 else 0)


def test_a_bundle_without_images_and_records_is_readable(committed: Bundle, opened: Opened):
    tab = opened(report_page(make_report([committed])))
    expect(tab.page.locator("body")).to_contain_text("This report has no test images")
    expect(tab.page.locator("body")).to_contain_text("There is no verification record")
    assert tab.page.locator(".checks tbody tr").count() >= 1
    assert violations(tab) == []
