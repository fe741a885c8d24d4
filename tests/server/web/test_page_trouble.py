"""The page in a browser with faulty images, models and labels, a wrong key, or without a server."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asking import encoded
from browser import Visit, expect
from handwriting import DIGITS
from held_engine import holding
from PIL import Image
from repository import COMMITTED
from server_process import Server, serving, wait_for

Visiting = Callable[..., Visit]

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    "</span><svg onload=alert(3)>",
    "&lt;b&gt;",
    "\"'><iframe src=javascript:alert(4)>",
    "{{7*7}} ${7*7}",
    "../../etc/passwd",
    "\u202eolleh",
    "a label that goes on and on " * 8,
    "数字 9 🙂",
]
KEY = "sesame-sesame-sesame-sesame"


def altered(folder: Path, name: str, **changes: object) -> Path:
    """Return a copy of the committed bundle with another name and changed entries of its manifest."""
    path = Path(shutil.copytree(COMMITTED, folder / name))
    manifest = json.loads((path / "manifest.json").read_text()) | {"name": name} | changes
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Server]:
    """A server that requires an API key."""
    (tmp_path / "key.txt").write_text(KEY)
    with serving("--api-key-file", tmp_path / "key.txt", headers={"Authorization": f"Bearer {KEY}"}) as server:
        yield server


@pytest.mark.slow
def test_reports_a_text_named_jpeg(server: Server, visiting: Visiting):
    visit = visiting(server)
    visit.drop("notes.jpg", "image/jpeg", b"milk, bread, butter")
    failure = visit.page.get_by_role("alert").filter(has_text="Cannot decode")
    expect(failure).to_have_text("Cannot decode: the image is not a JPEG, PNG or BMP image.")
    expect(failure.get_by_role("button")).to_have_count(0)  # a repeated request would fail again
    expect(visit.page.locator("#preview")).to_be_hidden()
    assert visit.bad == [(400, f"v2/models/{server.name}/infer")]
    visit.page.click("#tab-draw")
    visit.draw(DIGITS[0])
    expect(visit.answers()).to_have_text(["0"])
    expect(failure).to_have_count(0)


def test_reports_an_unsupported_format(server: Server, visiting: Visiting):
    visit = visiting(server)
    visit.drop("moving.gif", "image/gif", b"GIF89a" + bytes(64))
    expect(visit.page.locator("#failure")).to_have_text("Expected a JPEG, PNG or BMP image, found GIF.")
    assert visit.bad == [(415, f"v2/models/{server.name}/infer")]


@pytest.mark.slow
def test_reports_an_image_that_is_too_large(visiting: Visiting):
    with serving("--max-body-mb", 1) as server:
        visit = visiting(server)
        visit.drop("large.jpg", "image/jpeg", b"", zeros=3 << 20)
        expect(visit.page.locator("#failure")).to_contain_text(re.compile("bytes|too large"))
        visit.page.click("#tab-draw")
        visit.draw(DIGITS[0])
        expect(visit.answers()).to_have_text(["0"])


@pytest.mark.slow
def test_shows_any_label_as_text(tmp_path: Path, visiting: Visiting):
    with serving(bundles=[altered(tmp_path, "hostile", labels=HOSTILE)]) as server:
        visit = visiting(server)
        shown: set[str] = set()
        self_test = server.bundle.self_test()
        for image, target in zip(self_test.images[:, :, :, 0], self_test.logits.argmax(axis=1), strict=True):
            visit.drop("digit.png", "image/png", encoded(Image.fromarray(image), "PNG"))
            expect(visit.answers()).to_have_text([HOSTILE[target].strip()])
            shown |= set(visit.page.locator(".top-five .label").all_text_contents())
        assert shown == set(HOSTILE)
        for tag in ("iframe", "script:not([src], [type='application/json'])", "svg[onload]", "img[onerror]"):
            expect(visit.page.locator(tag)).to_have_count(0)


@pytest.mark.slow
def test_reports_models_that_differ(tmp_path: Path, visiting: Visiting):
    labels = [f"<b>{digit}</b>" for digit in range(10)]
    with serving(bundles=[altered(tmp_path, "one"), altered(tmp_path, "other", labels=labels)]) as server:
        visit = visiting(server)
        visit.draw(DIGITS[6])
        expect(visit.page.locator(".agreement")).to_contain_text(
            "The models differ: one predicts 6, other predicts <b>6</b>. "
            "Their probabilities differ by at most 0.05 percentage points."
        )


def test_shows_why_a_model_is_unavailable(tmp_path: Path, visiting: Visiting):
    broken = altered(tmp_path, "broken")
    (broken / "model.onnx").write_bytes(b"xx")
    with serving(bundles=[COMMITTED, broken]) as server:
        visit = visiting(server)
        expect(visit.page.locator("#model-problems li")).to_have_text(
            "broken is unavailable: it is not an intact bundle"
        )
        expect(visit.page.locator("#model option")).to_have_text([server.name])


@pytest.mark.slow
def test_reports_that_no_model_is_ready(visiting: Visiting):
    with serving("--model-control") as server:
        visit = visiting(server)
        card = visit.page.locator("#card")
        expect(card).to_contain_text("Digest")
        for action, expected in (("unload", "No model is ready"), ("load", "Digest")):
            path = f"/v2/repository/models/{server.name}/{action}"
            assert server.request("POST", path, b"{}", {}).status == 200
            expect(card).to_contain_text(expected)
        expect(visit.page.locator("#connection")).to_have_text("Ready")


@pytest.mark.slow
def test_reconnects_to_a_restarted_server(visiting: Visiting):
    with serving() as server:
        port = server.port
        visit = visiting(server)
        assert server.stop() == 0
        banner = visit.page.locator("#disconnected")
        expect(banner).to_have_text("The server does not respond. The page retries automatically.")
        expect(visit.page.locator("#connection")).to_have_text("Not connected")
        visit.draw(DIGITS[5])
        expect(visit.page.locator("#failure")).to_contain_text("The server does not respond.")
        expect(visit.page.locator("#failure").get_by_role("button", name="Try again")).to_be_visible()
    with serving("--port", port):
        expect(visit.answers()).to_have_text(["5"])
        expect(banner).to_be_hidden()
        expect(visit.page.locator("#connection")).to_have_text("Ready")


@pytest.mark.slow
def test_retries_after_a_full_queue(tmp_path: Path, visiting: Visiting):
    with holding(tmp_path, "--max-batch", 3, "--max-queue", 2) as held:
        visit = visiting(held.server)
        with held.engine.held():
            held.occupy()
            held.queue(1)
            visit.draw(DIGITS[5])
            failure = visit.page.locator("#failure")
            expect(failure).to_contain_text("2 requests are already queued: try again later.")
            assert visit.bad == [(503, f"v2/models/{held.server.name}/infer")]
        wait_for(lambda: held.server.metrics()["in_flight"] == 0)
        failure.get_by_role("button", name="Try again").click()
        expect(visit.answers()).to_have_count(1)


@pytest.mark.slow
def test_keeps_the_api_key_in_the_tab(locked: Server, visiting: Visiting):
    visit = visiting(locked, wait=False)
    dialog = visit.page.get_by_role("dialog", name="This server requires an API key")
    field = dialog.get_by_label("API key")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("type", "password")
    expect(visit.page.locator("body")).not_to_contain_text("No model is ready")  # unknown without a key
    visit.page.keyboard.press("Escape")
    field.fill("not-the-key-at-all")
    field.press("Enter")
    expect(dialog).to_contain_text("The server does not accept this key.")
    field.fill(KEY)
    field.press("Enter")
    expect(dialog).to_be_hidden()
    visit.draw(DIGITS[3])
    expect(visit.answers()).to_have_text(["3"])
    assert {status for status, _ in visit.bad} == {401}
    assert visit.page.evaluate("[Object.values(localStorage), document.cookie, location.href]") == [
        [],
        "",
        f"http://127.0.0.1:{locked.port}/",
    ]
    visit.page.reload()
    visit.page.wait_for_selector("#connection[data-state=ready]")
    expect(dialog).to_be_hidden()
    other = visiting(locked, wait=False)
    expect(other.page.get_by_role("dialog")).to_be_visible()
