"""The drawing area: a stroke appears where the pointer is, on every screen, and the model gets the whole drawing."""

from collections.abc import Callable

import pytest
from browser import Visit, expect
from handwriting import DIGITS
from server_process import Server, wait_for

Visiting = Callable[..., Visit]

CORNERS = [(0.1, 0.1), (0.9, 0.9)]
HAS_ITS_SIZE = """() => {
    const pad = document.getElementById("pad");
    const side = pad.getBoundingClientRect().width * devicePixelRatio;
    return [pad.width, pad.height].every((each) => Math.abs(each - side) <= 1);
}"""


def brightness(visit: Visit, x: float, y: float) -> int:
    """Return the alpha of the canvas at a place of the drawing area, 0 to 255, as the screen shows it."""
    return int(
        visit.page.evaluate(
            """([x, y]) => {
                const pad = document.getElementById("pad");
                const context = new OffscreenCanvas(1, 1).getContext("2d");
                context.drawImage(pad, -Math.floor(pad.width * x), -Math.floor(pad.height * y));
                return context.getImageData(0, 0, 1, 1).data[3];
            }""",
            [x, y],
        )
    )


def shows_the_diagonal(visit: Visit) -> None:
    """Check that the canvas has the pixels of its place on the screen, and a line from corner to corner."""
    wait_for(lambda: visit.page.evaluate(HAS_ITS_SIZE))
    assert [brightness(visit, each, each) for each in (0.1, 0.3, 0.5, 0.7, 0.9)] == [255] * 5
    assert [brightness(visit, *place) for place in ((0.9, 0.1), (0.1, 0.9), (0.5, 0.2), (0.5, 0.8))] == [0] * 4


@pytest.mark.parametrize(
    ("width", "ratio"),
    [(390, 1), (390, 3), pytest.param(320, 1.5, marks=pytest.mark.slow), pytest.param(1200, 1, marks=pytest.mark.slow)]
    + [pytest.param(240 + side, 1, marks=pytest.mark.slow) for side in (149, 150, 151, 600)],
)
def test_a_stroke_appears_under_the_pointer(width: int, ratio: float, server: Server, visiting: Visiting):
    visit = visiting(server, viewport={"width": width, "height": 900}, device_scale_factor=ratio)
    visit.draw([CORNERS])
    shows_the_diagonal(visit)


@pytest.mark.slow
def test_a_drawing_follows_the_window(server: Server, visiting: Visiting):
    visit = visiting(server, viewport={"width": 1200, "height": 900})
    visit.draw([CORNERS])
    for width, height in ((390, 844), (844, 390), (320, 568), (1200, 900)):  # narrow, turned, narrow, wide
        visit.page.set_viewport_size({"width": width, "height": height})
        shows_the_diagonal(visit)
    visit.page.click("#tab-photo")
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.page.click("#tab-draw")
    shows_the_diagonal(visit)
    visit.draw(DIGITS[0][:1])
    assert brightness(visit, 0.5, 0.2) == 255


@pytest.mark.slow
def test_a_drawing_follows_the_pixel_ratio(server: Server, visiting: Visiting):
    visit = visiting(server, viewport={"width": 1200, "height": 900})
    visit.draw([CORNERS])
    screen = visit.page.context.new_cdp_session(visit.page)
    side = visit.page.evaluate("document.getElementById('pad').clientWidth")
    for change, ratio in enumerate((2, 1.25, 1)):  # another screen; Chromium reports it with a change of the window
        size = {"width": 1201 + change, "height": 900, "deviceScaleFactor": ratio, "mobile": False}
        screen.send("Emulation.setDeviceMetricsOverride", size)
        shows_the_diagonal(visit)
        assert visit.page.evaluate("document.getElementById('pad').clientWidth") == side


@pytest.mark.slow
def test_a_hidden_area_ends_the_stroke(server: Server, visiting: Visiting):
    visit = visiting(server)
    box = visit.page.locator("#pad").bounding_box()
    assert box is not None
    visit.page.mouse.move(box["x"] + 50, box["y"] + 50)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + 150, box["y"] + 150)
    visit.page.evaluate("document.getElementById('tab-photo').click()")
    visit.page.mouse.move(box["x"] + 250, box["y"] + 20)
    visit.page.mouse.up()
    expect(visit.answers()).to_have_count(1)
    visit.page.click("#tab-draw")
    wait_for(lambda: visit.page.evaluate(HAS_ITS_SIZE))
    assert brightness(visit, 250 / box["width"], 20 / box["height"]) == 0
