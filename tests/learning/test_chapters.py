"""The chapters, operated with the keyboard and the mouse; the examples of the field are on the pages."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from browser import FileTab, expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[[str], "Page"]


@pytest.fixture(scope="module")
def tabs(browser: "Browser", site: Path) -> Iterator[dict[str, FileTab]]:
    """The open chapters by their names; they must log no errors and send no requests."""
    opened: dict[str, FileTab] = {}
    yield opened
    for tab in opened.values():
        tab.end()


@pytest.fixture
def chapter(browser: "Browser", site: Path, tabs: dict[str, FileTab]) -> Open:
    def open_page(name: str) -> "Page":
        path = site / f"{name}.html"
        if name in tabs:
            tabs[name].page.reload()
        else:
            tabs[name] = FileTab(browser, path, locale="en-GB", viewport={"width": 1280, "height": 900})
        return tabs[name].page

    return open_page


def press(page: "Page", selector: str, key: str, times: int = 1) -> None:
    page.focus(selector)
    for _ in range(times):
        page.keyboard.press(key)


def typeset(text: str) -> str:
    """Return a formula with minus signs, as the pages write it."""
    return text.replace("-", "\N{MINUS SIGN}")


def plain(page: "Page", selector: str) -> str:
    return page.inner_text(selector).replace("\N{MINUS SIGN}", "-")


def test_convolution_shows_size_sum_and_code(chapter: Open):
    page = chapter("convolution")
    expect(page.locator("#size-formula")).to_have_text(typeset("⌊(16 + 2 × 0 - 1 × (3 - 1) - 1) / 1⌋ + 1 = 14"))
    press(page, "#stride", "ArrowRight")
    press(page, "#padding", "ArrowRight")
    expect(page.locator("#output-shape")).to_have_text("8 × 8")
    expect(page.locator("#torch")).to_have_text("nn.Conv2d(1, 1, kernel_size=3, stride=2, padding=1, dilation=1)")
    expect(page.locator("#convolution-count")).to_have_text("10")
    dense = sum(each.numel() for each in torch.nn.Linear(16 * 16, 8 * 8).parameters())
    expect(page.locator("#dense-count")).to_have_text(f"{dense:,}")


def test_convolution_writes_out_the_sum_of_a_window(chapter: Open):
    page = chapter("convolution")
    page.select_option("#image", "square")
    page.check("input[value=outline]", force=True)
    press(page, "#steps input", "Home")
    press(page, "#steps [data-step='1']", "Enter", 3 * 14 + 3)
    # The window's middle is the corner of the square at (4, 4): 4 of 9 pixels are white.
    expect(page.locator("#sum b")).to_have_text("5")
    page.fill("#kernel input[aria-label='Weight in row 2, column 2']", "2")
    expect(page.locator("#sum b")).to_have_text(typeset("-1"))
    assert page.locator("input[name=preset]:checked").count() == 0


@pytest.mark.slow
def test_convolution_takes_a_drawing(chapter: Open):
    page = chapter("convolution")
    page.select_option("#image", "drawing")
    page.click("#pad button")
    expect(page.locator("#sum b")).to_have_text("0")
    page.check("input[value=same]", force=True)
    page.focus("#pad canvas")
    for key in ("ArrowDown", "ArrowRight", " "):
        page.keyboard.press(key)
    press(page, "#steps input", "Home")
    expect(page.locator("#sum b")).to_have_text("1")
    assert page.get_attribute("#pad canvas", "aria-label").endswith("Row 2, column 2: 1.")
    side = page.locator("#pad canvas").evaluate("(canvas) => canvas.clientWidth")
    page.click("#pad canvas", position={"x": 1.5 * side / 16, "y": 1.5 * side / 16})
    expect(page.locator("#sum b")).to_have_text("0")


@pytest.mark.slow
def test_channels_count_parameters_as_pytorch(chapter: Open):
    page = chapter("channels")
    layer = torch.nn.Conv2d(16, 32, 3)
    expect(page.locator("#weight-shape")).to_have_text(str(list(layer.weight.shape)))
    expect(page.locator("#parameters")).to_have_text(f"{sum(each.numel() for each in layer.parameters()):,}")
    page.check("input[value=depthwise]", force=True)
    layer = torch.nn.Conv2d(16, 16, 3, groups=16)
    expect(page.locator("#weight-shape")).to_have_text(str(list(layer.weight.shape)))
    expect(page.locator("#parameters")).to_have_text(f"{sum(each.numel() for each in layer.parameters()):,}")


@pytest.mark.slow
def test_channels_sum_to_the_output(chapter: Open):
    page = chapter("channels")
    press(page, "#bias", "ArrowRight", 5)
    red, green, blue, bias, total = map(float, re.findall(r"-?\d+(?:\.\d+)?", plain(page, "#sum")))
    assert bias == 0.5
    assert red + green + blue + bias == pytest.approx(total, abs=0.002)


@pytest.mark.slow
def test_shared_weights_counts_connections_and_weights(chapter: Open):
    page = chapter("shared-weights")
    for kind, connections, weights in (("dense", 48, 48), ("local", 18, 18), ("shared", 18, 3)):
        page.check(f"input[value={kind}]", force=True)
        expect(page.locator("#wire-count")).to_have_text(str(connections))
        expect(page.locator("#weights")).to_have_text(str(weights))


@pytest.mark.slow
def test_shared_weights_finds_the_pattern_wherever_it_is(chapter: Open):
    page = chapter("shared-weights")
    expect(page.locator("#largest")).to_have_text("largest response: 4 at row 4, column 3")
    press(page, "#right", "ArrowRight", 4)
    press(page, "#down", "ArrowLeft", 2)
    expect(page.locator("#largest")).to_have_text("largest response: 4 at row 2, column 7")


@pytest.mark.slow
def test_receptive_field_of_stacks(chapter: Open):
    page = chapter("receptive-field")
    for name, field, weights in (("two", 5, 18), ("five", 5, 25), ("three", 7, 27), ("seven", 7, 49)):
        page.check(f"input[value={name}]", force=True)
        expect(page.locator("#result")).to_contain_text(f"sees {field} × {field} pixels, with {weights} weights")
    page.check("input[value=lenet]", force=True)
    expect(page.locator("#result")).to_contain_text("16 × 16")
    page.click("#add")
    page.select_option("[aria-label='Stride of layer 1']", "2")
    page.click("[aria-label='Remove layer 5']")
    expect(page.locator("#layers tr")).to_have_count(4)
    expect(page.locator("#layers tr").last).to_contain_text("27 × 27")


@pytest.mark.slow
def test_activations_show_value_and_slope(chapter: Open):
    page = chapter("activations")
    page.check("input[value=sigmoid]", force=True)
    press(page, "#x", "ArrowLeft", 15)
    expect(page.locator("#value")).to_have_text("0.5")
    expect(page.locator("#slope")).to_have_text("0.25")
    expect(page.locator("#power")).to_have_text("9.5e-7")


def test_pooling_shows_the_worked_example(chapter: Open):
    page = chapter("pooling")
    expect(page.locator("#example-sum")).to_have_text("max(1, 3, 2, 4) = 4; (1 + 3 + 2 + 4) / 4 = 2.5")
    assert page.get_attribute("#example-max", "aria-label") == "Result of max pooling, by rows: 4, 2, 2, 5."
    assert page.get_attribute("#example-average", "aria-label") == "Result of average pooling, by rows: 2.5, 1, 1, 3."
    page.fill("[aria-label='Value in row 1, column 1']", "9")
    assert page.get_attribute("#example-max", "aria-label") == "Result of max pooling, by rows: 9, 2, 2, 5."


@pytest.mark.slow
def test_pooled_maps_change_less_when_the_image_moves(chapter: Open):
    page = chapter("pooling")
    for _ in range(2):
        changes = [int(page.inner_text(f"#change-{name}").split()[0]) for name in ("map", "max", "average")]
        assert changes[0] > max(changes[1:])
        press(page, "#shift", "ArrowRight")
    expect(page.locator("#linear-before")).to_have_text("125,450")
    expect(page.locator("#linear-after")).to_have_text("31,370")


def test_flatten_links_each_value_to_its_place(chapter: Open):
    page = chapter("flatten")
    expect(page.locator("#length")).to_have_text("3 × 4 × 4 = 48 values")
    page.hover(".flat-row .flat-cell >> nth=39")
    expect(page.locator("#formula")).to_have_text("2 × 4 × 4 + 1 × 4 + 3 = 39")
    expect(page.locator(".flat-map .chosen")).to_have_text("39")
    press(page, "#index", "Home")
    expect(page.locator(".flat-row .chosen")).to_have_text("0")
    press(page, "#channels", "ArrowRight")
    expect(page.locator("#torch")).to_have_text("nn.Flatten()  # [N, 4, 4, 4] -> [N, 64]")


def test_linear_weighs_the_marks(chapter: Open):
    page = chapter("linear")
    expect(page.locator("#mark-formula")).to_have_text("y = 80 × 0.3 + 90 × 0.5 + 85 × 0.2 + 0 = 86")
    press(page, "#mark0", "ArrowRight", 10)
    press(page, "#bias", "ArrowLeft", 2)
    expect(page.locator("#mark-formula b")).to_have_text("87")
    expect(page.locator("#winner")).to_have_text("largest logit: Cat, 2.7")
    press(page, "#feathers", "End")
    press(page, "#ears", "Home")
    expect(page.locator("#winner")).to_contain_text("Bird")


@pytest.mark.slow
def test_softmax_gives_probabilities_and_a_decision(chapter: Open):
    page = chapter("softmax")
    for temperature in (1.0, 2.0):
        shown = [page.inner_text(f"#rows tr >> nth={row} >> td.number >> nth=2") for row in range(3)]
        expected = torch.softmax(torch.tensor([2.7, 1.2, -2.1]) / temperature, dim=0)
        assert shown == [f"{100 * value:.1f} %" for value in expected.tolist()]
        press(page, "#temperature", "ArrowRight", 10)
    before = page.inner_text("#rows")
    page.click("[data-add='1']")
    assert [row.split("\t")[-1] for row in page.inner_text("#rows").splitlines()] == [
        row.split("\t")[-1] for row in before.splitlines()
    ]
    expect(page.locator("#decision")).to_have_text("Cat")
    press(page, "#threshold", "ArrowRight", 6)
    expect(page.locator("#decision")).to_have_text("unsure")


@pytest.mark.slow
def test_dropout_changes_nothing_at_inference(chapter: Open):
    page = chapter("dropout")
    before = page.inner_text("#rows")
    expect(page.locator("#draw")).to_have_text("draw with seed 2: 4 of 8 values are kept")
    page.click("#again")
    assert page.inner_text("#rows") != before
    page.check("input[value=inference]", force=True)
    rows = [row.split("\t") for row in page.inner_text("#rows").splitlines()]
    assert all(float(row[1]) == float(row[-1]) for row in rows)
    press(page, "#draws", "End")
    rows = [row.split("\t") for row in page.inner_text("#means").splitlines()]
    assert all(float(mean) == pytest.approx(float(value), rel=0.15) for _, value, mean in rows)


@pytest.mark.slow
def test_batch_norm_learns_running_statistics(chapter: Open):
    page = chapter("batch-norm")
    expect(page.locator("#after-numbers")).to_have_text("mean 0, standard deviation 1")
    layer = torch.nn.BatchNorm1d(1)
    layer(torch.tensor([6.0, 9, 4, 7, 12, 5, 8, 9])[:, None])
    page.click("#train")
    assert float(page.inner_text("#running-mean")) == pytest.approx(float(layer.running_mean), abs=5e-4)
    assert float(page.inner_text("#running-variance")) == pytest.approx(float(layer.running_var), abs=5e-4)
    page.click("#train-many")
    expect(page.locator("#batches")).to_have_text("21")
    page.check("input[value=inference]", force=True)
    first = float(page.input_value("#batch input >> nth=0"))
    line = re.search(r"y = (\S+) × x \+ \(?([^ )]+)\)?$", plain(page, "#scale-shift"))
    assert line is not None
    scale, shift = map(float, line.groups())
    y = float(plain(page, "#formula").rpartition("= ")[2])
    assert scale * first + shift == pytest.approx(y, abs=0.02)


@pytest.mark.slow
def test_plays_the_windows_and_pauses(chapter: Open):
    page = chapter("convolution")
    page.click("[data-step=play]")
    expect(page.locator("[data-step=play]")).to_have_text("Pause")
    start = page.input_value("#steps input")
    page.wait_for_function("(start) => document.querySelector('#steps input').value !== start", arg=start)
    page.click("[data-step=play]")
    expect(page.locator("[data-step=play]")).to_have_text("Play")
