"""The files of the web page over HTTP."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import Server, serving

from edgecnn.server.web.pages import read_pages

PAGES = read_pages()
FOREIGN = {"/web/uPlot.iife.min.js", "/web/uPlot.min.css"}
TRUSTED = {"/web/words.js"}
"""Its markup comes from the catalogues; values are escaped."""
KEY = "sesame-sesame-sesame-sesame"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that requires an API key."""
    file = tmp_path_factory.mktemp("key") / "key.txt"
    file.write_text(KEY)
    with serving("--api-key-file", file, headers={"Authorization": f"Bearer {KEY}"}) as server:
        server.headers = {}
        yield server


@pytest.mark.parametrize("path", sorted(PAGES))
def test_serves_a_file_without_a_key(path: str, locked: Server):
    reply = locked.get(path)
    assert (reply.status, reply.body) == (200, PAGES[path].content)
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert (reply.headers["x-content-type-options"], reply.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert reply.headers["permissions-policy"] == "camera=(self)"


@pytest.mark.parametrize("path", ["/v2", "/metrics", "/web/", "/web/other.js", "/web/../web/app.js", "/index.html"])
def test_other_paths_need_the_key(path: str, locked: Server):
    assert locked.get(path).status == 401


@pytest.mark.parametrize("path", ["/web", "/web/", "/web/pages.py", "/web/..%2fpages.py", "/web/../pages.py"])
def test_serves_only_the_page_s_files(path: str, server: Server):
    assert server.get(path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_allows_only_get_and_head(method: str, server: Server):
    reply = server.request(method, "/")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


def test_head_returns_the_size_only(server: Server):
    reply = server.request("HEAD", "/")
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) == len(PAGES["/"].content)
    assert reply.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_returns_304_for_a_known_tag(known: str, server: Server):
    tag = server.get("/web/app.js").headers["etag"]
    reply = server.request("GET", "/web/app.js", headers={"If-None-Match": known.format(tag)})
    assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    assert reply.headers["cache-control"] == "no-cache"


def test_returns_the_file_for_another_tag(server: Server):
    reply = server.request("GET", "/web/app.js", headers={"If-None-Match": '"other"'})
    assert (reply.status, reply.body) == (200, PAGES["/web/app.js"].content)


def test_no_page_disables_the_page():
    with serving("--no-page") as server:
        assert [server.get(path).status for path in ("/", "/docs", "/web/app.js", "/favicon.ico")] == [404] * 4


def test_references_exactly_the_served_files():
    """Each file is named by a page, or by a script that a page loads. Only `explain.html` uses `explain.js`."""
    text = (PAGES["/"].content + PAGES["/docs"].content).decode()
    named = {f"/{name}" for name in re.findall(r'(?:href|src)="(web/[^"]+)"', text)}
    for path, page in PAGES.items():
        if path.endswith(".js"):
            script = page.content.decode()
            named |= {f"/web/{name}" for name in re.findall(r'(?:from |import\()"\./([^"]+)"', script)}
            named |= {f"/{name}" for name in re.findall(r'"(web/[^"]+)"', script)}
    assert named | {"/", "/docs", "/favicon.ico", "/web/explain.js"} == set(PAGES)


def test_pages_follow_the_security_policy():
    for path, page in PAGES.items():
        text = page.content.decode().replace("http://www.w3.org/2000/svg", "")
        if path in FOREIGN:
            continue
        assert "://" not in text, path
        pattern = r"outerHTML|insertAdjacentHTML|document\.write|eval\(|<style|style="
        assert not re.search(pattern if path in TRUSTED else f"innerHTML|{pattern}", text), path


def test_the_page_is_small():
    """Without the files of the tab "Inside", which are loaded when it is opened."""
    first = [page for path, page in PAGES.items() if not re.search("inside|explain|charts|uPlot", path)]
    assert sum(len(page.content) for page in {id(page): page for page in first}.values()) < 130_000


def test_files_are_short():
    folder = Path(__file__).parents[3] / "edgecnn" / "server" / "web" / "static"
    for file in folder.iterdir():
        assert len(file.read_text().splitlines()) <= 250, file.name
