"""The page "Inside the network" in Chromium."""

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import FileTab, expect, violations
from inside_page import PHONE, Show, of, row

from edgecnn.explaining.explanation import Explanation
from edgecnn.explaining.page import explain_page
from edgecnn.files.schema import plain
from edgecnn.pages.page import static_files
from edgecnn.pages.words import LANGUAGES, catalogue

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_a_page_has_a_row_for_each_layer_and_opens_by_click_and_key(lenet: Explanation, show: Show):
    tab = show(lenet, "conv1/Conv")
    expect(tab.page.locator(".layer")).to_have_count(len(lenet.layers) + 1)
    expect(row(tab, "conv1/Conv").locator(".tile")).to_have_count(6)
    head = row(tab, "pool/MaxPool").locator(".layer-head")
    row(tab, "relu/Relu").locator(".layer-head").focus()
    tab.page.keyboard.press("ArrowDown")
    expect(head).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(row(tab, "pool/MaxPool").locator(".layer-panel")).to_contain_text("becomes its largest value")
    tab.page.keyboard.press("Enter")
    expect(row(tab, "pool/MaxPool").locator(".layer-panel")).to_be_hidden()


@pytest.mark.slow
def test_every_kind_of_layer_opens(network: Explanation, lenet: Explanation, show: Show):
    for explanation in (network, lenet):
        tab = show(explanation, "", *(each.id for each in explanation.layers))
        tab.page.wait_for_timeout(300)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 1280
        panels = tab.page.locator(".layer-panel").all_inner_texts()
        assert all(panels)
        assert not any("undefined" in each or "NaN" in each for each in panels)
    assert "Erf is an operator that this page does not explain" in "".join(
        show(network, "erf").page.locator(".layer-panel").all_inner_texts()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "language", "settings"),
    [("light", "en", {}), ("dark", "en", PHONE), ("light", "zh", PHONE), ("dark", "zh", {})],
    ids=["light-en", "dark-en-phone", "light-zh-phone", "dark-zh"],
)
def test_axe_finds_nothing(
    scheme: str, language: str, settings: dict[str, Any], network: Explanation, lenet: Explanation, show: Show
):
    for explanation in (network, lenet):
        layers = [each.id for each in explanation.layers]
        tab = show(explanation, "", *layers, language=language, color_scheme=scheme, **settings)
        expect(tab.page.locator(".layer-panel canvas").last).to_be_attached()
        tab.page.wait_for_timeout(300)
        assert violations(tab) == []
        width = tab.page.evaluate("innerWidth")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


def test_both_languages_have_all_texts():
    texts = [catalogue("edgecnn.explaining", language) for language in LANGUAGES]
    assert texts[0].keys() == texts[1].keys()
    scripts = "".join(file.read_text() for file in static_files("edgecnn.explaining") if file.name.startswith("inside"))
    used = set(re.findall(r'"(explain(?:\.[\w-]+)+)"', scripts))
    assert used <= texts[0].keys()
    names = re.compile(r"\{(\w+)\}")
    assert all(set(names.findall(texts[0][key])) == set(names.findall(texts[1][key])) for key in texts[0])


@pytest.mark.slow
def test_the_page_follows_the_language_and_keeps_open_layers_open(lenet: Explanation, show: Show):
    tab = show(lenet, "conv1/Conv", language="auto")
    tab.page.locator("#language").click()
    expect(tab.page.locator("h2").first).to_contain_text("答案")
    expect(row(tab, "conv1/Conv").locator(".explained")).to_contain_text("卷积核在输入上滑动")
    tab.page.locator("#theme").click()
    expect(row(tab, "conv1/Conv").locator(".tile canvas").first).to_be_visible()


@pytest.mark.slow
def test_labels_are_text_and_many_classes_are_readable(lenet: Explanation, show: Show):
    labels = tuple(f"</script><img src=x onerror=alert({each})> 犬 {'long ' * 20}" for each in range(1000))
    logits = (*lenet.logits, *(-9.0 for _ in range(990)))
    scores = (*lenet.probabilities, *(0.0 for _ in range(990)))
    many = dataclasses.replace(lenet, labels=labels, logits=logits, probabilities=scores)
    tab = show(many, "logits", "Softmax", **PHONE)
    expect(tab.page.locator("h2").first).to_contain_text("<img src=x onerror=alert(")
    assert tab.page.locator("img").count() == 0
    tab.page.locator("summary", has_text="All 1000 classes").click()
    expect(tab.page.locator(".all-classes tbody tr")).to_have_count(1000)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_a_network_of_500_layers_opens_quickly(lenet: Explanation, show: Show):
    block = of(lenet, "relu/Relu")
    names = ["relu/Relu", *(f"block{each}" for each in range(500))]
    deep = [
        dataclasses.replace(
            block,
            id=name,
            name=f"layer.{name}",
            operation="add" if place % 7 == 6 else "conv",
            inputs=(names[place], names[place - 6]) if place % 7 == 6 else (names[place],),
            maps=block.maps[:1],
        )
        for place, name in enumerate(names[1:])
    ]
    softmax = lenet.layers[-1]
    tab = show(dataclasses.replace(lenet, layers=(*lenet.layers[:3], *deep, softmax)), **PHONE)
    expect(tab.page.locator(".layer")).to_have_count(505)
    paint = tab.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint < 3000
    assert tab.page.locator(".thumbnail").count() < 100, "only visible rows have pictures"
    tab.page.get_by_label("Go to a layer").select_option("400")
    expect(tab.page.locator(".layer").nth(400).locator(".layer-panel")).to_be_visible()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_layers_without_maps_values_or_attention_are_readable(lenet: Explanation, show: Show):
    bare = tuple(dataclasses.replace(each, maps=(), values=(), kernels=None, field=None) for each in lenet.layers)
    empty = dataclasses.replace(lenet, layers=bare, contributions=(), attention=(), notes=("no-contributions",))
    tab = show(empty, *(each.id for each in bare))
    expect(tab.page.locator(".notes")).to_contain_text("contributions are not shown")
    expect(row(tab, "conv1/Conv").locator(".layer-panel")).to_contain_text("The values of this output are not shown.")


@pytest.mark.slow
def test_a_server_loads_more_maps_and_computes_attention_on_demand(
    lenet: Explanation, browser: "Browser", tmp_path: Path
):
    """The callbacks return content of the explanation, which leaves it out first."""
    more, attention = of(lenet, "conv1/Conv").maps, lenet.attention[0]
    layers = [dataclasses.replace(each, maps=each.maps[:2]) for each in lenet.layers]
    content = json.dumps({"maps": plain(more), "attention": plain(attention)})
    html = explain_page(dataclasses.replace(lenet, layers=tuple(layers), attention=()), "en").html
    callbacks = f"""(content => ({{
        loadMaps: async (layer, first, count) => content.maps.slice(first, first + count),
        attend: async target => {{
            if (target === 9) throw new Error("busy");
            return {{ ...content.attention, target }};
        }},
    }}))({content})"""
    path = tmp_path / "server.html"
    path.write_text(html.replace("pageData());", f"pageData(), {callbacks});"))
    tab = FileTab(browser, path, bypass_csp=True)  # the test changes the script of the page
    row(tab, "conv1/Conv").locator(".layer-head").click()
    expect(row(tab, "conv1/Conv").locator(".tile")).to_have_count(2)
    tab.page.get_by_role("button", name="Load 16 more maps").click()
    expect(row(tab, "conv1/Conv").locator(".tile")).to_have_count(6)
    expect(tab.page.get_by_role("button", name="Load 16 more maps")).to_have_count(0)
    tab.page.locator(".looks select").select_option("7")
    expect(tab.page.locator(".overlaid")).to_have_attribute("aria-label", re.compile("“7”"))
    tab.page.locator(".looks select").select_option("9")
    expect(tab.page.locator(".looks [role=status]")).to_have_text("busy")
    tab.end()
