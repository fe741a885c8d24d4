"""Several photos at once: a grid of answers, at most two requests at a time, failures, cancelling, and the keyboard."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import encoded
from browser import Visit, expect, violations
from handwriting import DIGITS
from held_engine import holding
from manifest_edits import edit_manifest
from PIL import Image
from repository import COMMITTED
from server_process import Server, serving, wait_for

Visiting = Callable[..., Visit]

COUNTERS = """() => {
    window.made = new Set();
    const [make, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
    URL.createObjectURL = (file) => { const url = make.call(URL, file); made.add(url); return url; };
    URL.revokeObjectURL = (url) => { made.delete(url); revoke.call(URL, url); };
    window.underWay = window.most = 0;
    const send = window.fetch;
    window.fetch = async (path, options) => {
        if (!path.endsWith("/infer")) return send(path, options);
        most = Math.max(most, ++underWay);
        try { return await send(path, options); } finally { underWay--; }
    };
    window.longest = 0;
    let last = performance.now();
    setInterval(() => { longest = Math.max(longest, performance.now() - last); last = performance.now(); }, 10);
}"""


def digits(server: Server, count: int) -> list[dict[str, Any]]:
    """Return image files of the self-test for a file input, again from the first after the last one."""
    images = server.bundle.self_test().images[:, :, :, 0]
    files = [encoded(Image.fromarray(image), "PNG") for image in images[:count]]
    return [
        {"name": f"digit{place}.png", "mimeType": "image/png", "buffer": files[place % len(files)]}
        for place in range(count)
    ]


def labels(server: Server, count: int) -> list[str]:
    """Return the labels of `digits` according to the reference."""
    targets = server.bundle.self_test().logits.argmax(axis=1)
    return [server.bundle.manifest.labels[targets[place % len(targets)]] for place in range(count)]


def pumped(visit: Visit) -> bool:
    """Let Playwright report the requests of the page."""
    visit.page.wait_for_timeout(20)
    return True


@pytest.fixture(scope="module")
def doubting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a bundle that is unsure of some answers to its self-test."""
    path = Path(shutil.copytree(COMMITTED, tmp_path_factory.mktemp("doubting") / COMMITTED.name))
    edit_manifest(path, lambda manifest: manifest["scores"].update(unsure_margin=5.0))
    with serving(bundles=[path]) as server:
        yield server


def test_shows_a_grid_of_answers(server: Server, visiting: Visiting):
    visit = visiting(server)
    files = digits(server, 6)
    files[2] = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"milk, bread, butter"}
    visit.page.click("#tab-photo")
    visit.page.set_input_files("#file", files)
    expect(visit.page.locator("#announcement")).to_have_text("6 photos: 5 answered, 0 of them unsure, 1 failed")
    tiles = visit.page.locator(".batch li")
    expect(tiles.locator(".file")).to_have_text([file["name"] for file in files])
    expected = [label for place, label in enumerate(labels(server, 6)) if place != 2]
    expect(tiles.locator(".label")).to_have_text(expected)
    expect(tiles.locator(".value")).to_have_text([re.compile(r"^[\d.]+ %$")] * 5)
    expect(tiles.nth(2)).to_contain_text("Cannot decode: the image is not a JPEG, PNG or BMP image.")
    expect(visit.page.locator("#drop-hint")).to_contain_text("6 photos")
    expect(visit.page.locator("progress")).to_be_hidden()
    assert violations(visit) == []
    visit.bad.clear()


def test_marks_unsure_answers(doubting: Server, visiting: Visiting):
    logits = np.sort(doubting.logits(doubting.bundle.self_test().images))
    unsure = logits[:, -1] - logits[:, -2] < 5
    assert 0 < unsure.sum() < len(unsure)
    visit = visiting(doubting)
    visit.page.click("#tab-photo")
    visit.page.set_input_files("#file", digits(doubting, len(unsure)))
    expect(visit.page.locator("#announcement")).to_contain_text(f"{unsure.sum()} of them unsure")
    tiles = visit.page.locator(".batch li")
    assert [tiles.nth(place).locator(".unsure").count() for place in range(len(unsure))] == unsure.tolist()
    for place in (int(unsure.argmin()), int(unsure.argmax())):
        tiles.nth(place).get_by_role("button").click()
        expect(visit.page.locator(".first .unsure")).to_have_count(int(unsure[place]))
        spoken = re.compile(", unsure\\.$" if unsure[place] else r"%\.$")
        expect(visit.page.locator("#announcement")).to_have_text(spoken)
        visit.page.get_by_role("button", name="Back to the").click()
    expect(visit.page.locator("#card .facts")).to_contain_text("Unsure below a margin of5")


@pytest.mark.slow
def test_opens_a_photo_by_keyboard(server: Server, visiting: Visiting):
    visit = visiting(server)
    visit.page.click("#tab-photo")
    visit.page.set_input_files("#file", digits(server, 3))
    expect(visit.page.locator("#announcement")).to_contain_text("3 photos")
    visit.page.locator(".batch button").first.focus()
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Enter")
    expect(visit.answers()).to_have_text([labels(server, 3)[1]])
    expect(visit.page.locator("#preview")).to_be_visible()
    visit.page.get_by_role("button", name="Back to the 3 photos").press("Enter")
    expect(visit.page.locator(".batch li")).to_have_count(3)
    expect(visit.page.locator("#drop-hint")).to_contain_text("3 photos")


@pytest.mark.slow
def test_hundreds_of_photos_do_not_block_the_page(server: Server, visiting: Visiting):
    visit = visiting(server)
    visit.page.click("#tab-photo")
    visit.page.evaluate(COUNTERS)
    visit.page.set_input_files("#file", digits(server, 400))
    expect(visit.page.locator("#announcement")).to_contain_text("400 photos: 400 answered", timeout=120_000)
    most, made, longest = visit.page.evaluate("[most, made.size, longest]")
    assert most == 2
    assert made == 0  # pictures need no object URLs
    assert longest < 1500  # milliseconds; the machine may be busy
    for _ in range(3):
        visit.page.set_input_files("#file", digits(server, 1))
        expect(visit.answers()).to_have_count(1)
    assert visit.page.evaluate("made.size") == 1  # of the preview
    expect(visit.page.locator(".batch")).to_have_count(0)


@pytest.mark.slow
def test_other_photos_cancel_a_batch(tmp_path: Path, visiting: Visiting):
    with holding(tmp_path, "--max-batch", 3, "--max-queue", 16) as held:
        visit = visiting(held.server)
        sent: list[str] = []
        visit.page.on("request", lambda request: request.url.endswith("/infer") and sent.append(request.url))
        visit.page.click("#tab-photo")
        with held.engine.held():
            visit.page.set_input_files("#file", digits(held.server, 20))
            wait_for(lambda: pumped(visit) and len(sent) == 2)
            expect(visit.page.locator("#batch-state")).to_have_text("0 of 20 photos")
            visit.page.set_input_files("#file", digits(held.server, 2))
            wait_for(lambda: pumped(visit) and len(sent) == 4)
        expect(visit.page.locator("#announcement")).to_contain_text("2 photos: 2 answered")
        assert len(sent) == 4
        visit.page.set_input_files("#file", digits(held.server, 20))
        visit.page.click("#tab-draw")
        visit.draw(DIGITS[0])  # cancels it too
        expect(visit.answers()).to_have_count(1)
        expect(visit.page.locator(".batch")).to_have_count(0)


@pytest.mark.slow
def test_continues_after_a_lost_connection(server: Server, visiting: Visiting):
    visit = visiting(server)
    visit.page.click("#tab-photo")
    visit.page.context.set_offline(True)
    visit.page.set_input_files("#file", digits(server, 8))
    expect(visit.page.locator("#failure")).to_contain_text("The server does not respond.")
    expect(visit.page.locator("#failure").get_by_role("button", name="Try again")).to_be_visible()
    visit.page.context.set_offline(False)
    expect(visit.page.locator("#announcement")).to_contain_text("8 photos: 8 answered")
    expect(visit.page.locator(".batch .label")).to_have_text(labels(server, 8))
    expect(visit.page.locator("#failure")).to_be_empty()


@pytest.mark.slow
def test_classifies_dropped_and_pasted_photos(server: Server, visiting: Visiting):
    visit = visiting(server)
    contents = [list(file["buffer"]) for file in digits(server, 3)]
    visit.page.evaluate(
        """(contents) => {
            const transfer = new DataTransfer();
            for (const bytes of contents) transfer.items.add(new File([new Uint8Array(bytes)], "x.png"));
            document.dispatchEvent(new DragEvent("drop", { cancelable: true, dataTransfer: transfer }));
        }""",
        contents,
    )
    expect(visit.page.locator(".batch .label")).to_have_text(labels(server, 3))
    visit.page.evaluate(
        """(contents) => {
            const clipboardData = new DataTransfer();
            for (const bytes of contents) clipboardData.items.add(new File([new Uint8Array(bytes)], "y.png"));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        contents[:2],
    )
    expect(visit.page.locator(".batch .label")).to_have_text(labels(server, 2))


@pytest.mark.slow
def test_classifies_the_batch_with_another_model(tmp_path: Path, visiting: Visiting):
    other = Path(shutil.copytree(COMMITTED, tmp_path / "letters"))
    manifest = json.loads((other / "manifest.json").read_text())
    manifest |= {"name": "letters", "labels": list("abcdefghij")}
    (other / "manifest.json").write_text(json.dumps(manifest))
    with serving(bundles=[COMMITTED, other]) as server:
        visit = visiting(server)
        visit.page.click("#tab-photo")
        files = digits(server, 5)
        visit.page.set_input_files("#file", files)
        expected = labels(server, 5)
        expect(visit.page.locator(".batch .label")).to_have_text(expected)
        visit.page.select_option("#model", "letters")
        expect(visit.page.locator(".batch .label")).to_have_text(["abcdefghij"[int(label)] for label in expected])
