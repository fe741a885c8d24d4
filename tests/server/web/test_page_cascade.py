"""The page in front of a cascade: which graph answered, and its card."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from asking import encoded
from browser import Visit, expect, violations
from PIL import Image
from server_process import Server, serving

from edgecnn.bundle.store import Bundle


@pytest.fixture(scope="module")
def running(cascade_bundle: Bundle) -> Iterator[Server]:
    with serving(bundles=[cascade_bundle.path]) as server:
        yield server


@pytest.mark.slow
def test_names_the_graph_that_answered(server: Server, visiting: Callable[..., Visit]):
    visit = visiting(server)
    stages = server.bundle.self_test().stages
    assert stages is not None
    places = [int(np.argmax(stages.runs_again)), int(np.argmin(stages.runs_again))]
    files = [
        {"name": f"{place}.png", "mimeType": "image/png", "buffer": encoded(Image.fromarray(image), "PNG")}
        for place, image in zip(places, server.images[places, :, :, 0], strict=True)
    ]
    visit.page.click("#tab-photo")
    visit.page.set_input_files("#file", files)
    tiles = visit.page.locator(".batch li")
    expect(tiles.locator(".chip")).to_have_text(["accurate graph", "fast graph"])
    assert violations(visit) == []
    tiles.first.get_by_role("button").click()
    expect(visit.page.locator(".first .chip")).to_have_text("accurate graph")
    expect(visit.page.locator("#announcement")).to_contain_text(", accurate graph.")
    assert violations(visit) == []
    expect(visit.page.locator("#card .facts")).to_contain_text("Runs again below a margin of")
    expect(visit.page.locator("#card .chip")).to_have_text("INT8+INT8")
