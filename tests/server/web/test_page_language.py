"""The page in English and Simplified Chinese: the browser's language, the button, and texts of the server."""

import re
from collections.abc import Callable

import pytest
from asking import encoded
from browser import Visit, expect, violations
from handwriting import DIGITS
from PIL import Image
from server_process import Server

from edgecnn.pages.words import LANGUAGES, catalogue

Visiting = Callable[..., Visit]

CHINESE = re.compile(r"[\u4e00-\u9fff]")
ENGLISH_TEXTS = """() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const { parentElement: parent, textContent: text } = walker.currentNode;
        if (parent.closest("script, [lang=en], code, .name, .facts dd, option")) continue;
        if (parent.checkVisibility() && /[a-z]{4}/.test(text)) found.push(text.trim());
    }
    for (const element of document.querySelectorAll("[aria-label], [title], [alt]")) {
        if (element.closest("[lang=en]")) continue;
        for (const name of ["aria-label", "title", "alt"]) {
            if (/[a-z]{4}/.test(element.getAttribute(name) ?? "")) found.push(element.getAttribute(name));
        }
    }
    return found;
}"""
NAMES = re.compile(
    r"edgecnn|onnxruntime|openvino|Open Inference Protocol|lenet-digits-int8|digits.test|[0-9a-f]{64}|zh-Hans"
)


def english(visit: Visit) -> list[str]:
    """Return the visible texts and labels in English, without names."""
    return [text for text in visit.page.evaluate(ENGLISH_TEXTS) if re.search("[a-z]{4}", NAMES.sub("", text))]


@pytest.mark.slow
def test_follows_the_language_of_the_browser(server: Server, visiting: Visiting):
    visit = visiting(server, locale="zh-CN")
    expect(visit.page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(visit.page.locator("#connection")).to_have_text("就绪")
    visit.draw(DIGITS[3])
    expect(visit.answers()).to_have_text(["3"])
    assert english(visit) == []
    assert violations(visit) == []
    expect(visit.page.locator("#language")).to_have_attribute("lang", "en")


@pytest.mark.slow
@pytest.mark.parametrize(("locale", "language"), [("de-DE", "en"), ("zh-TW", "zh-Hans"), ("en-GB", "en")])
def test_other_languages(locale: str, language: str, server: Server, visiting: Visiting):
    visit = visiting(server, locale=locale)
    expect(visit.page.locator("html")).to_have_attribute("lang", language)


def test_the_button_changes_everything_that_is_shown(server: Server, visiting: Visiting):
    visit = visiting(server)
    visit.page.click("#tab-photo")
    image = encoded(Image.fromarray(server.bundle.self_test().images[0, :, :, 0]), "PNG")
    photo = {"name": "x.png", "mimeType": "image/png", "buffer": image}
    visit.page.set_input_files("#file", [photo] * 3)
    expect(visit.page.locator("#announcement")).to_contain_text("3 photos")
    visit.page.get_by_role("button", name="中文").click()
    expect(visit.page.locator("#announcement")).to_have_text(re.compile("^3 张照片"))
    expect(visit.page.locator("#drop-hint")).to_contain_text("3 张照片")
    expect(visit.page.locator("#theme")).to_have_text("深色")
    expect(visit.page.locator("#traffic")).to_contain_text("已回答")
    assert english(visit) == []
    visit.page.reload()
    expect(visit.page.locator("#answer-title")).to_have_text("结果")  # the browser stores the choice
    visit.page.get_by_role("button", name="English").click()
    expect(visit.page.locator("#answer-title")).to_have_text("Answer")
    assert not CHINESE.search(visit.page.locator("main").inner_text())


@pytest.mark.slow
def test_errors_of_the_server_stay_english(server: Server, visiting: Visiting):
    visit = visiting(server, locale="zh-CN")
    visit.drop("notes.jpg", "image/jpeg", b"milk, bread, butter")
    failure = visit.page.locator("#failure p")
    expect(failure).to_have_text("Cannot decode: the image is not a JPEG, PNG or BMP image.")
    expect(failure).to_have_attribute("lang", "en")
    visit.page.context.set_offline(True)
    visit.page.click("#tab-draw")
    visit.draw(DIGITS[0])
    expect(failure).to_have_text("服务器没有响应。")
    expect(visit.page.locator("#disconnected")).to_have_text("服务器没有响应。 页面会自动重试。")
    visit.page.click("#language")
    expect(failure).to_have_text("The server does not respond.")
    expect(visit.page.locator("#disconnected")).to_have_text(
        "The server does not respond. The page retries automatically."
    )


@pytest.mark.slow
def test_the_document_has_both_languages(server: Server, visiting: Visiting):
    visit = visiting(server, locale="zh-CN")
    visit.page.goto("/docs")
    details = visit.page.locator("#operations details")
    expect(details.first).to_be_visible()
    details.first.locator("summary").click()
    expect(visit.page.locator("#about-title")).to_have_text("简介")
    expect(details.first.locator("h3").last).to_have_text("响应")
    assert violations(visit) == []
    visit.page.click("#language")
    expect(details.first.locator("h3").last).to_have_text("Responses")
    expect(details.first).to_have_attribute("open", "")


def test_the_catalogues_have_the_same_texts():
    texts = [catalogue("edgecnn.server.web", language) for language in LANGUAGES]
    assert texts[0].keys() == texts[1].keys()
    for key in texts[0]:
        assert len({tuple(sorted(re.findall(r"\{\w+\}", each[key]))) for each in texts}) == 1, key
