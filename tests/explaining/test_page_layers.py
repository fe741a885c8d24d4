"""What the layers on the page "Inside the network" show, in Chromium."""

import itertools
import re

import numpy as np
import pytest
from browser import expect
from inside_page import Show, numbers, of, outlines, point, row

from edgecnn.bundle.store import Bundle
from edgecnn.explaining.explain import explain
from edgecnn.explaining.explanation import Explanation

MINUS = "\N{MINUS SIGN}"


def test_the_written_sum_equals_the_value_of_the_map(network: Explanation, show: Show):
    tab = show(network, "conv")
    view = row(tab, "conv").locator(".figures [role=application]").first
    total = row(tab, "conv").locator(".sum .total")
    for y, x in itertools.product((0, 7, 15), repeat=2):
        point(view, (16, 16), y, x)
        expect(row(tab, "conv").locator(".readout").first).to_contain_text(f"row {y}, column {x}:")
        written, value, step = numbers(total, "sum", "value", "step")
        assert abs(written - value) <= step / 2 + 1e-5
    terms = row(tab, "conv").locator(".terms").inner_text()
    assert terms.count("×") == 25
    written, *_ = numbers(total, "sum")
    assert terms.endswith(f"= {written:.5g}".replace("-", MINUS))


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["conv", "branch2", "residue"])
def test_a_pixel_of_a_map_outlines_what_it_sees(layer: str, network: Explanation, show: Show):
    tab, side = show(network, layer), of(network, layer).shape[1]
    field = of(network, layer).field
    assert field is not None
    view = row(tab, layer).locator(".figures [role=application]").first
    image = row(tab, layer).locator(".figures .grid-view").first

    def check(y: int, x: int) -> None:
        expect(row(tab, layer).locator(".readout").first).to_contain_text(f"row {y}, column {x}:")
        start = [field.start[axis] + place * field.jump[axis] for axis, place in enumerate((y, x))]
        end = [min(first + field.size[axis], 32) for axis, first in enumerate(start)]
        top, left = (max(first, 0) for first in start)
        assert outlines(image, ":not(.cell)") == [(top, left, end[0] - top, end[1] - left)]

    for y, x in itertools.product((0, side // 2, side - 1), repeat=2):
        point(view, (side, side), y, x)
        check(y, x)
    view.focus()
    tab.page.keyboard.press("ArrowUp")
    check(side - 2, side - 1)


@pytest.mark.slow
def test_pooling_shows_the_window_and_its_winner(network: Explanation, show: Show):
    tab = show(network, "pool", "mean")
    for layer, reduce in (("pool", max), ("mean", np.mean)):
        figures = row(tab, layer).locator(".figures").first
        readout = row(tab, layer).locator(".readout").first
        before = of(network, of(network, layer).inputs[0]).maps[0].picture
        for y, x in ((0, 0), (4, 3), (7, 7)):
            point(figures.locator("[role=application]"), (8, 8), y, x)
            expect(readout).to_contain_text(f"Row {y}, column {x}:")
            listed = [float(each) for each in (readout.get_attribute("data-list") or "").split()]
            assert abs(reduce(listed) - numbers(readout, "value")[0]) <= (before.high - before.low) / 255
            assert len(listed) == {(0, 0): 4, (7, 7): 4 if layer == "mean" else 9}.get((y, x), 9)
        winners = outlines(figures.locator(".grid-view").first, ".winner")
        assert len(winners) == (1 if layer == "pool" else 0)


@pytest.mark.slow
def test_a_shift_changes_the_pooled_map_less(lenet: Explanation, show: Show):
    tab = show(lenet, "pool/MaxPool")
    readout = row(tab, "pool/MaxPool").locator(".readout.shift")
    slider = row(tab, "pool/MaxPool").locator("input[type=range]")
    changes = {}
    for shift in (-1, 0, 1):
        slider.fill(str(shift))
        changes[shift] = numbers(readout, "before", "after")
    assert changes[0] == [0, 0]
    assert all(0 < changes[shift][1] < changes[shift][0] for shift in (-1, 1))


@pytest.mark.slow
def test_flatten_links_cells_and_maps_both_ways(lenet: Explanation, show: Show):
    tab = show(lenet, "Reshape")
    panel = row(tab, "Reshape").locator(".layer-panel")
    readout, cells = panel.locator(".readout"), panel.locator(".grid-view.row")
    maps = panel.locator(".small-figures .grid-view")
    expect(maps).to_have_count(16)
    point(cells, (10, 40), 3, 17)
    cell = 3 * 40 + 17
    assert numbers(readout, "cell", "channel", "y", "x") == [cell, cell // 25, cell % 25 // 5, cell % 5]
    assert outlines(maps.nth(cell // 25)) == [(cell % 25 // 5, cell % 5, 1, 1)]
    point(maps.nth(9), (5, 5), 2, 4)
    cell = 9 * 25 + 2 * 5 + 4
    assert numbers(readout, "cell") == [cell]
    assert outlines(cells) == [(cell // 40, cell % 40, 1, 1)]
    assert outlines(maps.nth(5)) == []


@pytest.mark.slow
def test_contributions_add_up_to_the_logit_of_the_chosen_class(lenet: Explanation, show: Show):
    tab = show(lenet, "logits")
    select = row(tab, "logits").locator("select")
    for target in lenet.order[:5]:
        select.select_option(str(target))
        total = row(tab, "logits").locator(".contributions .total")
        expect(total).to_contain_text(f"Logit of “{lenet.labels[target]}”")
        added, logit = numbers(total, "sum", "logit")
        assert abs(added - logit) < 1e-5
        assert logit == pytest.approx(lenet.logits[target], abs=1e-4)
    bars = row(tab, "logits").locator("tbody tr")
    signs = {
        MINUS if "negative" in (each.get_attribute("class") or "") else "+" for each in bars.locator(".sides").all()
    }
    assert signs == {MINUS, "+"}
    expect(bars).to_have_count(32)


@pytest.mark.slow
def test_the_reader_chooses_the_class_of_occlusion(lenet: Explanation, show: Show):
    tab = show(lenet)
    section = tab.page.locator(".looks")
    view = section.locator(".overlaid")
    for target in [each.target for each in lenet.attention]:
        section.locator("select").select_option(str(target))
        expect(view).to_have_attribute("aria-label", re.compile(f"“{re.escape(lenet.labels[target])}”"))
    section.locator("input[type=range]").fill("20")
    assert view.locator(".over").evaluate("canvas => getComputedStyle(canvas).opacity") == "0.2"


@pytest.mark.slow
def test_wires_show_branches_and_a_skip(network: Explanation, show: Show):
    tab = show(network)
    lanes = {}
    for each in ("pool", "branch1", "branch2", "mean", "concat", "residue", "add"):
        lanes[each] = float(row(tab, each).locator("circle").get_attribute("cx") or "")
    assert len({lanes["branch1"], lanes["branch2"], lanes["mean"]}) == 3
    assert lanes["concat"] == lanes["pool"] == lanes["add"] == lanes["residue"]
    expect(row(tab, "concat").locator(".wire.skip").first).to_be_attached()
    expect(row(tab, "add").locator(".wire.skip")).to_have_count(1)
    expect(row(tab, "branch2").locator(".wire.skip")).to_have_count(0)


@pytest.mark.slow
def test_fp32_and_int8_are_compared(fp32_bundle: Bundle, int8_bundle: Bundle, digit: np.ndarray, show: Show):
    tab = show(explain(int8_bundle, digit, compared=fp32_bundle), "conv2/Conv")
    compared = row(tab, "conv2/Conv").locator(".compared")
    expect(compared.locator("figure")).to_have_count(3)
    expect(compared).to_contain_text("Signal-to-noise ratio of the whole layer:")
    expect(row(tab, "conv2/Conv").locator(".layer-snr")).to_contain_text("dB")
    expect(tab.page.locator(".chart canvas").first).to_be_visible()
