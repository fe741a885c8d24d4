"""The page in a browser: classification of images, the card and the traffic."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from asking import encoded
from browser import Visit, expect
from handwriting import DIGITS, smaller
from label_tables import images_of
from model_versions import put
from PIL import Image
from reloading import QUICK
from repository import COMMITTED
from server_process import Server, serving

from edgecnn.archive.installing import install
from edgecnn.bundle.store import Bundle

Visiting = Callable[..., Visit]


def file_of(server: Server, file_format: str) -> tuple[bytes, str]:
    """Return an image of the self-test as a file, and its label according to the reference."""
    self_test = server.bundle.self_test()
    return encoded(Image.fromarray(self_test.images[0, :, :, 0]), file_format), server.bundle.manifest.labels[
        int(self_test.logits[0].argmax())
    ]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the committed bundle and a copy that is marked as FP32, with one reference."""
    other = Path(shutil.copytree(COMMITTED, tmp_path_factory.mktemp("pair") / "lenet-digits-fp32"))
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["name"] = other.name
    manifest["graphs"][0] |= {"precision": "fp32", "weights": {}, "quantization": None}
    (other / "manifest.json").write_text(json.dumps(manifest))
    with serving(bundles=[COMMITTED, other]) as server:
        yield server


@pytest.mark.slow
def test_recognises_drawn_digits(server: Server, visiting: Visiting):
    visit = visiting(server)
    for digit, lines in DIGITS.items():
        visit.draw(lines)
        expect(visit.answers()).to_have_text([str(digit)])
        expect(visit.page.locator("#announcement")).to_have_text(re.compile(rf"^{digit}, [\d.]+ %\.$"))
        visit.page.click("#clear")
        expect(visit.answers()).to_have_count(0)


@pytest.mark.parametrize(("digit", "x", "y"), [(3, 0.0, 0.0), (5, 0.6, 0.1), (2, 0.3, 0.6)])
def test_recognises_small_digits_anywhere(digit: int, x: float, y: float, server: Server, visiting: Visiting):
    visit = visiting(server)
    visit.draw(smaller(digit, factor=0.35, x=x, y=y))
    expect(visit.answers()).to_have_text([str(digit)])


def test_draws_by_touch(server: Server, visiting: Visiting):
    visit = visiting(server, has_touch=True, viewport={"width": 390, "height": 844})
    box = visit.page.locator("#pad").bounding_box()
    assert box is not None
    touch = visit.page.context.new_cdp_session(visit.page)
    for line in DIGITS[0]:
        for index, (x, y) in enumerate(line):
            point = {"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y}
            kind = "touchMove" if index else "touchStart"
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(visit.answers()).to_have_text(["0"])


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP"])
def test_sends_a_dropped_photo_unchanged(file_format: str, server: Server, visiting: Visiting):
    visit = visiting(server)
    content, label = file_of(server, file_format)
    with visit.page.expect_request("**/infer") as asked:
        visit.drop(f"photograph.{file_format.lower()}", f"image/{file_format.lower()}", content)
    expect(visit.answers()).to_have_text([label])
    expect(visit.page.locator("#tab-photo")).to_have_attribute("aria-selected", "true")
    expect(visit.page.locator("#preview")).to_be_visible()
    headers = asked.value.all_headers()  # the server decodes it
    assert headers["content-type"] == f"image/{file_format.lower()}"
    assert headers["content-length"] == str(len(content))


def test_classifies_a_pasted_photo(server: Server, visiting: Visiting):
    visit = visiting(server)
    content, label = file_of(server, "PNG")
    visit.page.evaluate(
        """(bytes) => {
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([new Uint8Array(bytes)], "x.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        list(content),
    )
    expect(visit.answers()).to_have_text([label])


def test_turns_a_hidden_camera_off(server: Server, visiting: Visiting):
    visit = visiting(server)
    visit.page.click("#tab-camera")
    visit.page.click("#camera-button")
    expect(visit.page.locator("#camera-button")).to_have_text("Take a photo")
    with visit.page.expect_request("**/infer") as asked:
        visit.page.click("#camera-button")
    assert asked.value.all_headers()["content-type"] == "image/jpeg"
    expect(visit.answers()).to_have_count(1)
    visit.page.click("#tab-draw")
    assert visit.page.evaluate("document.getElementById('video').srcObject") is None


def test_shows_five_labels_and_the_times(server: Server, visiting: Visiting):
    visit = visiting(server)
    with visit.page.expect_response("**/infer") as answered:
        visit.draw(DIGITS[7])
    expect(visit.page.locator(".top-five li")).to_have_count(5)
    logits = np.array(answered.value.json()["outputs"][0]["data"])
    probabilities = np.exp(logits) / np.exp(logits).sum()
    order = np.argsort(-probabilities)[:5]
    expect(visit.page.locator(".top-five .label")).to_have_text([server.bundle.manifest.labels[each] for each in order])
    expect(visit.page.locator(".top-five .value")).to_have_text(
        [f"{100 * probabilities[each]:.1f} %" for each in order]
    )
    header = answered.value.header_value("server-timing")
    reported = dict(re.findall(r"(\w+);dur=([\d.]+)", header or ""))
    for name in ("decode", "queue", "inference"):
        shown = visit.page.locator(f".times .{name} dd").inner_text()
        assert float(shown.removesuffix(" ms")) == pytest.approx(float(reported[name]), rel=0.05, abs=0.01)
    parts = [float(text.removesuffix(" ms")) for text in visit.page.locator(".times dd").all_inner_texts()]
    total = float(visit.page.locator(".total strong").inner_text().removesuffix(" ms"))
    assert sum(parts) == pytest.approx(total, rel=0.05, abs=0.1)


@pytest.mark.slow
def test_shows_the_labels_above_the_threshold(label_bundle: Bundle, label_table: Path, visiting: Visiting):
    seven, one = images_of(label_table, 7, 1)
    with serving(bundles=[label_bundle.path]) as server:
        visit = visiting(server)
        visit.page.click("#tab-photo")
        visit.page.set_input_files("#file", seven)
        expect(visit.page.locator(".top-five li")).to_have_count(3)
        expect(visit.page.locator(".top-five .given")).to_have_count(2)
        assert sorted(visit.answers().inner_text().split(", ")) == ["above 4", "prime"]
        expect(visit.page.locator(".first .probability")).to_have_text("threshold 50.0 %")
        expect(visit.page.locator("#announcement")).to_have_text(re.compile(r"^(above 4, prime|prime, above 4)\.$"))
        expect(visit.page.locator(".proof p")).to_contain_text("Exact match on 385 images")
        visit.page.set_input_files("#file", one)
        expect(visit.answers()).to_have_text(["no label"])


@pytest.mark.slow
def test_compares_two_bundles_of_one_reference(pair: Server, visiting: Visiting):
    visit = visiting(pair)
    visit.draw(DIGITS[3])
    expect(visit.answers()).to_have_text(["3", "3"])
    expect(visit.page.locator(".column .model-title")).to_have_text(["lenet-digits-fp32FP32", "lenet-digits-int8INT8"])
    expect(visit.page.locator(".agreement")).to_contain_text("Both models predict 3.")


def test_classifies_again_with_another_model(pair: Server, visiting: Visiting):
    visit = visiting(pair)
    visit.draw(DIGITS[3])
    expect(visit.answers()).to_have_count(2)
    with visit.page.expect_request("**/infer"):
        visit.page.select_option("#model", "lenet-digits-fp32")
    expect(visit.page.locator("#card .name")).to_have_text("lenet-digits-fp32")


def test_shows_the_card_and_copies_the_digest(server: Server, visiting: Visiting):
    visit = visiting(server, permissions=["clipboard-read", "clipboard-write"])
    card = visit.page.locator("#card")
    for fact in ("lenet", "32 × 32, grey", "101 KiB", "417 thousand", "Self-test passed on this machine", "98.96 %"):
        expect(card).to_contain_text(fact)
    card.get_by_role("button", name="Copy").click()
    expect(card.get_by_text("Copied")).to_be_visible()
    assert visit.page.evaluate("navigator.clipboard.readText()") == server.bundle.digest


@pytest.mark.slow
def test_shows_the_traffic_of_other_clients(server: Server, visiting: Visiting):
    visit = visiting(server)
    answered = visit.page.locator("#traffic td:last-child")
    before = int(answered.inner_text().replace(",", ""))
    for _ in range(5):
        server.infer(server.images[:1])
    expect(answered).to_have_text(f"{before + 5:,}")
    expect(visit.page.locator("#traffic td").nth(3)).to_have_text(re.compile(r"^[\d.]+ ms$"))


@pytest.mark.slow
def test_a_hidden_page_sends_no_requests(server: Server, visiting: Visiting):
    visit = visiting(server, stands_still=True)
    visit.page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.isAway ?? true })")
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.page.clock.run_for(60_000)
    assert asked == []
    with visit.page.expect_request("**/metrics"):
        visit.page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.slow
def test_shows_the_version_that_is_installed(tmp_path: Path, visiting: Visiting):
    (tmp_path / "made").mkdir()
    for number in (1, 2):
        put(tmp_path / "made", number)
    install(tmp_path / "made" / "1", tmp_path / "site")
    with serving(*QUICK, bundles=[tmp_path / "site" / "current"]) as server:
        visit = visiting(server)
        version = visit.page.locator("#card .facts div").filter(has_text="Version").locator("dd")
        expect(version).to_have_text("1")
        install(tmp_path / "made" / "2", tmp_path / "site")
        expect(version).to_have_text("2")
