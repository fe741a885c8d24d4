"""The web page's files as clients get them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import Server, serving

from edgecnn.server.web.pages import read_pages

PAGES = read_pages()
KEY = "sesame-sesame-sesame-sesame"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a key."""
    file = tmp_path_factory.mktemp("key") / "key.txt"
    file.write_text(KEY)
    with serving("--api-key-file", file, headers={"Authorization": f"Bearer {KEY}"}) as server:
        server.headers = {}
        yield server


@pytest.mark.parametrize("path", sorted(PAGES))
def test_a_file_is_there_for_everybody_and_may_load_nothing_from_elsewhere(path: str, locked: Server):
    reply = locked.get(path)
    assert (reply.status, reply.body) == (200, PAGES[path].content)
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert (reply.headers["x-content-type-options"], reply.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert reply.headers["permissions-policy"] == "camera=(self)"


@pytest.mark.parametrize("path", ["/v2", "/metrics", "/web/", "/web/other.js", "/web/../web/app.js", "/index.html"])
def test_everything_else_needs_the_key_as_ever(path: str, locked: Server):
    assert locked.get(path).status == 401


@pytest.mark.parametrize("path", ["/web", "/web/", "/web/pages.py", "/web/..%2fpages.py", "/web/../pages.py"])
def test_only_the_page_s_own_files_are_there(path: str, server: Server):
    assert server.get(path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_page_can_be_got_only(method: str, server: Server):
    reply = server.request(method, "/")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


def test_head_tells_the_size_and_no_content(server: Server):
    reply = server.request("HEAD", "/")
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) == len(PAGES["/"].content)
    assert reply.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_who_has_a_file_already_is_told_so(known: str, server: Server):
    tag = server.get("/web/app.js").headers["etag"]
    reply = server.request("GET", "/web/app.js", headers={"If-None-Match": known.format(tag)})
    assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    assert reply.headers["cache-control"] == "no-cache"


def test_who_has_another_one_gets_it(server: Server):
    reply = server.request("GET", "/web/app.js", headers={"If-None-Match": '"other"'})
    assert (reply.status, reply.body) == (200, PAGES["/web/app.js"].content)


def test_the_page_can_be_left_out():
    with serving("--no-page") as server:
        assert [server.get(path).status for path in ("/", "/web/app.js", "/favicon.ico")] == [404] * 3


def test_every_file_that_the_page_names_is_there():
    named = set(re.findall(r'(?:href|src)="(web/[^"]+)"', PAGES["/"].content.decode()))
    for path, page in PAGES.items():
        if path.endswith(".js"):
            named |= {f"web/{name}" for name in re.findall(r'from "\./([^"]+)"', page.content.decode())}
    assert {f"/{name}" for name in named} | {"/", "/favicon.ico", "/web/index.html"} == set(PAGES)


def test_the_page_names_no_other_host_and_holds_nothing_that_its_policy_forbids():
    for path, page in PAGES.items():
        text = page.content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|<style|style=", text), path


def test_the_page_takes_some_tens_of_kilobytes():
    assert sum(len(page.content) for page in {id(page): page for page in PAGES.values()}.values()) < 80_000


def test_its_files_stay_readable():
    folder = Path(__file__).parents[3] / "edgecnn" / "server" / "web" / "static"
    for file in folder.iterdir():
        assert len(file.read_text().splitlines()) <= 250, file.name
