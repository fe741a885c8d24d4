"""The tab "Inside" of a server with `--explain`: it is loaded when it is opened, and follows the image."""

from collections.abc import Callable, Iterator

import pytest
from asking import encoded
from browser import Visit, expect, violations
from handwriting import DIGITS
from PIL import Image
from server_process import Server, serving

Visiting = Callable[..., Visit]


@pytest.fixture(scope="module")
def explaining() -> Iterator[Server]:
    """A server that explains."""
    with serving("--explain") as server:
        yield server


def requests_of(visit: Visit, part: str) -> list[str]:
    """Return a growing list of the requests whose path contains a part."""
    found: list[str] = []
    visit.page.on("request", lambda request: part in request.url and found.append(request.url))
    return found


def test_has_no_such_tab_by_default(server: Server, visiting: Visiting):
    visit = visiting(server)
    expect(visit.page.locator("#answer-tabs")).to_be_hidden()
    assert visit.page.get_by_role("tab", name="Inside").count() == 0


def test_explains_the_drawing(explaining: Server, visiting: Visiting):
    visit = visiting(explaining)
    loaded, asked = requests_of(visit, "/web/inside"), requests_of(visit, "/explain")
    inside = visit.page.locator("#inside")
    visit.draw(DIGITS[3])
    expect(visit.answers()).to_have_text(["3"])
    assert loaded + asked == []
    visit.page.get_by_role("tab", name="Inside").click()
    expect(inside).to_contain_text("conv1")
    assert f"http://127.0.0.1:{explaining.port}/web/inside.js" in loaded
    assert [url for url in asked if url.endswith("/explain")] == asked[:1]
    assert violations(visit) == []
    visit.page.click("#clear")
    expect(inside).to_have_text("Draw or choose one image to see what each layer does with it.")
    visit.draw(DIGITS[1])
    expect(inside).to_contain_text("conv1")
    visit.page.get_by_role("tab", name="Labels").click()
    expect(visit.answers()).to_have_text(["1"])
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 1280


@pytest.mark.slow
def test_explains_a_photo_in_chinese_on_a_phone(explaining: Server, visiting: Visiting):
    visit = visiting(explaining, locale="zh-CN", viewport={"width": 390, "height": 844}, color_scheme="dark")
    visit.drop(
        "digit.png", "image/png", encoded(Image.fromarray(explaining.bundle.self_test().images[0, :, :, 0]), "PNG")
    )
    expect(visit.answers()).to_have_count(1)
    visit.page.get_by_role("tab", name="网络内部").click()
    expect(visit.page.locator("#inside")).to_contain_text("conv1")
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
    assert violations(visit) == []
    visit.page.click("#language")
    expect(visit.page.locator("#inside")).to_contain_text("Convolution")


@pytest.mark.slow
def test_waits_while_the_server_explains_another_image(explaining: Server, visiting: Visiting):
    visit = visiting(explaining)
    answers = [{"status": 503, "json": {"error": "another image is being explained: try again later"}}]
    asked = requests_of(visit, "/explain")
    visit.page.route("**/explain", lambda route: route.fulfill(**answers.pop()) if answers else route.continue_())
    visit.draw(DIGITS[3])
    visit.page.get_by_role("tab", name="Inside").click()
    expect(visit.page.locator("#inside")).to_contain_text("conv1")
    assert [url.endswith("/explain") for url in asked[:2]] == [True, True]
    visit.bad.clear()


@pytest.mark.slow
def test_says_why_it_cannot_explain(explaining: Server, visiting: Visiting):
    visit = visiting(explaining)
    refusal = {"status": 413, "json": {"error": "no memory for the session"}}
    visit.page.route("**/explain", lambda route: route.fulfill(**refusal))
    visit.draw(DIGITS[3])
    visit.page.get_by_role("tab", name="Inside").click()
    alert = visit.page.locator("#inside [role=alert]")
    expect(alert).to_contain_text("No memory for the session.")
    assert violations(visit) == []
    visit.page.unroute("**/explain")
    alert.get_by_role("button", name="Try again").click()
    expect(visit.page.locator("#inside")).to_contain_text("conv1")
    visit.bad.clear()
