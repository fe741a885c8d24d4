"""The live page in Chromium, with a real training in the background."""

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browser import Tab, expect, violations

from edgecnn.errors import TrainingError
from edgecnn.pipeline.training.checkpoint import Epoch
from edgecnn.pipeline.training.watching.live_page import Figures, LivePage, live_page
from edgecnn.pipeline.training.watching.samples import Samples, sample_places

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LABELS = ("<img src=x onerror=alert(1)>", "猫", "كلب", "x" * 200)
EPOCH = Epoch(2.0, 0.25, 1.5, 0.3, 0.01, 3.0, 0.1)


def figures(*history: Epoch, top1: float | None = None) -> Figures:
    return Figures("resnet18", "<b>pets</b>", 5, 1, top1, history)


def probabilities(count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.dirichlet(np.ones(len(LABELS)), size=16).astype(np.float32)


@pytest.fixture
def page() -> Iterator[LivePage]:
    with live_page(0) as opened:
        yield opened


@pytest.fixture
def opened(browser: "Browser", page: LivePage) -> Iterator[Callable[..., Tab]]:
    """Open the page with settings of the browser. At the end, check that it logged nothing and asked no other host."""
    tabs: list[Tab] = []

    def make(**settings: object) -> Tab:
        tab = Tab(browser, page.address, **settings)
        tabs.append(tab)
        tab.page.goto(page.address)
        return tab

    yield make
    for tab in tabs:
        tab.end()


def take_samples(page: LivePage, channels: int = 3) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 40, 30, channels), dtype=np.uint8)
    page.take_samples(pixels, [number % 4 for number in range(16)], LABELS)


def test_follows_a_training_to_its_end(page: LivePage, opened: Callable[..., Tab]):
    tab = opened(locale="en-US").page
    expect(tab.locator("#phase")).to_have_text("Preparing: the images are read and checked.")
    page.advance("reading training", 64, 128)
    expect(tab.locator("#stage")).to_have_text("Reading the training images: 64 / 128")
    take_samples(page)
    page.show(figures(), probabilities(0))
    expect(tab.locator("#phase")).to_have_text("Training: 0 of 5 epochs are finished.")
    expect(tab.locator("#samples li")).to_have_count(16)
    page.advance("training", 3, 10, "epoch 1, loss 1.234, 567 images/s")
    expect(tab.locator("#note")).to_have_text("Epoch 1: loss 1.234, 567 images/s")
    page.show(figures(EPOCH, EPOCH), probabilities(2))
    expect(tab.locator("#epochs tbody tr")).to_have_count(2)
    assert tab.locator("#epochs tbody tr").nth(1).inner_text().split()[:3] == ["1", "(best)", "2.0000"]
    expect(tab.locator("#curves canvas")).to_have_count(3)
    page.finish(figures(*[EPOCH] * 5, top1=0.875))
    expect(tab.locator("#phase")).to_contain_text("Finished: 5 epochs, the best is number 1.")
    expect(tab.locator("#phase")).to_contain_text("87.50 %")
    expect(tab.locator("#progress")).to_be_hidden()


def test_names_are_text(page: LivePage, opened: Callable[..., Tab]):
    take_samples(page)
    page.show(figures(EPOCH), probabilities(1))
    tab = opened(locale="en-US").page
    expect(tab.locator("#samples li").first).to_contain_text(LABELS[0])
    expect(tab.locator("#subject")).to_have_text("resnet18 on <b>pets</b>")
    assert tab.locator("#samples img").count() == 16
    assert tab.locator("#samples img").evaluate_all("images => images.every((image) => image.naturalWidth === 30)")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_every_mode_are_shown(page: LivePage, channels: int):
    take_samples(page, channels)
    assert page.pictures().count(b"data:image/png;base64,") == 16


@pytest.mark.parametrize(
    "settings",
    [
        {"locale": "en-US", "color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
        {"locale": "zh-CN", "color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
    ],
    ids=["desktop", "phone in Chinese"],
)
def test_everyone_can_use_the_page(page: LivePage, opened: Callable[..., Tab], settings: dict):
    take_samples(page)
    page.advance("training", 3, 10, "epoch 2, loss 1.234, 567 images/s")
    page.show(figures(EPOCH), probabilities(1))
    tab = opened(**settings)
    expect(tab.page.locator("#curves canvas")).to_have_count(3)
    assert violations(tab) == []
    width = settings["viewport"]["width"]
    assert tab.page.locator("html").evaluate("page => page.scrollWidth") <= width
    language = "zh-Hans" if settings["locale"] == "zh-CN" else "en"
    expect(tab.page.locator("html")).to_have_attribute("lang", language)


@pytest.mark.slow
def test_a_browser_gets_the_error_before_the_page_closes(browser: "Browser"):
    started, shown = threading.Event(), threading.Event()
    address: list[str] = []

    def fail() -> None:
        with live_page(0) as page:
            address.append(page.address)
            started.set()
            shown.wait(30)
            raise TrainingError("the loss became <nan> in epoch 1: lower --learning-rate")

    def run() -> None:
        with pytest.raises(TrainingError):
            fail()

    training = threading.Thread(target=run)
    training.start()
    started.wait(30)
    tab = Tab(browser, address[0], locale="en-US")
    tab.page.goto(address[0])
    expect(tab.page.locator("#phase")).to_contain_text("Preparing")
    shown.set()
    expect(tab.page.locator("#phase")).to_have_text("Failed after 0 of 0 epochs:")
    expect(tab.page.locator("#error")).to_have_text("the loss became <nan> in epoch 1: lower --learning-rate")
    training.join()
    tab.end()


@pytest.mark.slow
def test_a_page_without_a_training_says_so(browser: "Browser"):
    with live_page(0) as page:
        tab = Tab(browser, page.address, locale="en-US")
        tab.page.goto(page.address)
        expect(tab.page.locator("#phase")).to_contain_text("Preparing")
    expect(tab.page.locator("#phase")).to_contain_text("No connection")
    tab.end()


def test_samples_cover_sorted_images():
    assert sample_places(1000)[:2] == [0, 67]
    assert sample_places(1000)[-1] == 999
    assert sample_places(3) == [0, 1, 2]
    assert sample_places(1) == [0]


def test_predictions_are_judged():
    samples = Samples(np.zeros((2, 1, 1, 1), np.uint8), [0, 1], ("a", "b"))
    found = samples.judged(np.array([[0.75, 0.25], [0.5, 0.5]], np.float32))
    assert [(each.label, each.prediction, each.probability, each.right) for each in found] == [
        ("a", "a", 0.75, True),
        ("b", "a", 0.5, False),
    ]
