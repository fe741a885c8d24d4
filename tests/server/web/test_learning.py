"""The pages of `edgecnn learn` on the server, under `/learn`."""

import re
from collections.abc import Callable

import pytest
from browser import Visit, expect, violations
from server_process import Server

from edgecnn.learning.site import NAMES, page_of


def test_the_folder_shows_the_index(server: Server):
    redirection = server.get("/learn")
    assert (redirection.status, redirection.headers["location"]) == (308, "learn/")
    index = server.get("/learn/")
    assert index.status == 200
    assert index.body == server.get("/learn/index.html").body == page_of("index.html").html.encode()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_serves_the_page_with_its_own_policy(name: str, server: Server):
    reply = server.get(f"/learn/{name}")
    assert reply.status == 200
    policy = reply.headers["content-security-policy"]
    assert re.match(r"default-src 'none'; script-src ('sha256-[\w+/=]+' ?)+; ", policy)
    assert policy.endswith("frame-ancestors 'none'")
    assert server.request("GET", f"/learn/{name}", headers={"If-None-Match": reply.headers["etag"]}).status == 304


@pytest.mark.parametrize("path", ["/learn/none.html", "/learn/../learn/index.html", "/learn/chapter.html"])
def test_serves_no_other_file(path: str, server: Server):
    assert server.get(path).status == 404


def test_works_in_the_browser(server: Server, visiting: Callable[..., Visit]):
    visit = visiting(server)
    visit.page.goto("/learn")
    visit.page.get_by_role("link", name=re.compile("pooling", re.I)).first.click()
    expect(visit.page.locator("h1")).to_contain_text(re.compile("pooling", re.I))
    assert violations(visit) == []
    assert visit.bad == [(308, "learn")]
