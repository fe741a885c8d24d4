"""Accessibility of the page: keyboard, screen readers, dark mode, phones."""

from collections.abc import Callable

import pytest
from asking import encoded
from browser import Visit, expect, violations
from handwriting import DIGITS
from PIL import Image
from server_process import Server

Visiting = Callable[..., Visit]
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def tab_to(visit: Visit, selector: str) -> None:
    """Press Tab until an element has the focus, and check that the focus is visible."""
    for _ in range(20):
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            style = visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none", f"the focus of {selector} is not visible"
            return
    raise AssertionError(f"{selector} cannot be reached by keyboard")


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "settings"), [("light", {}), ("dark", PHONE)], ids=["desktop", "phone"])
def test_axe_finds_no_violation(scheme: str, settings: dict, server: Server, visiting: Visiting):
    visit = visiting(server, color_scheme=scheme, reduced_motion="reduce", **settings)
    assert violations(visit) == []
    visit.draw(DIGITS[2])
    visit.answers().wait_for()
    assert violations(visit) == []
    visit.drop("notes.jpg", "image/jpeg", b"no image")
    visit.page.locator("#failure p").wait_for()
    assert violations(visit) == []
    visit.page.click("#tab-camera")
    assert violations(visit) == []


def test_works_by_keyboard(server: Server, visiting: Visiting):
    visit = visiting(server)
    self_test = server.bundle.self_test()
    content = encoded(Image.fromarray(self_test.images[0, :, :, 0]), "PNG")
    chosen = {"name": "digit.png", "mimeType": "image/png", "buffer": content}
    visit.page.on("filechooser", lambda chooser: chooser.set_files(chosen))
    keyboard = visit.page.keyboard
    keyboard.press("Tab")
    expect(visit.page.locator(".skip")).to_be_focused()
    keyboard.press("Enter")
    expect(visit.page.locator("#main")).to_be_focused()
    tab_to(visit, "#model")
    tab_to(visit, "#tab-draw")
    keyboard.press("ArrowRight")
    expect(visit.page.locator("#tab-photo")).to_be_focused()
    expect(visit.page.locator("#photo")).to_be_visible()
    keyboard.press("End")
    expect(visit.page.locator("#tab-camera")).to_be_focused()
    keyboard.press("Home")
    keyboard.press("ArrowRight")
    tab_to(visit, "#choose")
    keyboard.press("Enter")
    label = server.bundle.manifest.labels[int(self_test.logits[0].argmax())]
    expect(visit.answers()).to_have_text([label])
    spoken = visit.page.get_by_role("status").filter(has_text=f"{label}, ")
    expect(spoken).to_have_count(1)
    tab_to(visit, "#card button")


def test_follows_the_colour_scheme(server: Server, visiting: Visiting):
    visit = visiting(server)
    light = "rgb(245, 246, 248)"
    dark = "rgb(14, 17, 22)"
    body = visit.page.locator("body")
    expect(body).to_have_css("background-color", light)
    visit.page.emulate_media(color_scheme="dark")
    expect(body).to_have_css("background-color", dark)
    visit.page.get_by_role("button", name="Light").click()  # it names the theme that it leads to
    expect(body).to_have_css("background-color", light)
    visit.page.reload()
    expect(body).to_have_css("background-color", light)
    visit.page.get_by_role("button", name="Dark").click()
    expect(body).to_have_css("background-color", dark)
    expect(visit.page.locator("#theme")).to_have_text("Light")
    assert visit.page.locator("#theme").get_attribute("aria-pressed") is None


@pytest.mark.parametrize("width", [320, 360, 768])
def test_fits_a_phone(width: int, server: Server, visiting: Visiting):
    visit = visiting(server, **PHONE | {"viewport": {"width": width, "height": 740}})
    visit.draw(DIGITS[2])
    visit.answers().wait_for()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    cut = "[...document.querySelectorAll('main *')].filter((each) => each.scrollWidth > each.clientWidth + 1 &&"
    cut += " getComputedStyle(each).overflowX === 'auto').map((each) => each.className)"
    assert visit.page.evaluate(cut) == []  # nothing needs to be scrolled sideways
    visit.page.locator("#traffic td").nth(4).wait_for()  # the page replaces the rows every second
    cells = "[...document.querySelectorAll('#traffic td')].slice(0, 5).map((each) => each.getBoundingClientRect().x)"
    assert [place < width for place in visit.page.evaluate(cells)] == [True] * 5
    for name in ("#model", "#clear", "#tab-photo", "#pad"):
        box = visit.page.locator(name).bounding_box()
        assert box is not None
        assert box["height"] >= 40, f"{name} is too small for a finger"
        assert box["x"] + box["width"] <= width


@pytest.mark.slow
def test_respects_reduced_motion(server: Server, visiting: Visiting):
    visit = visiting(server, reduced_motion="reduce")
    visit.draw(DIGITS[2])
    visit.answers().wait_for()
    assert visit.page.evaluate("document.getAnimations().length") == 0
    assert visit.page.evaluate("getComputedStyle(document.querySelector('.fill')).transitionDuration") == "0s"
