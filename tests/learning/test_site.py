"""The site: its files, links, words and pages."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import FileTab, violations

from edgecnn.errors import OutputExists, UsageError
from edgecnn.learning.chapters import CHAPTERS, OPERATIONS
from edgecnn.learning.site import NAMES, write_site
from edgecnn.learning.topics import TOPICS
from scripts.learning_images import images

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SETTINGS = {
    "light": {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 800}, "locale": "zh-CN", "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 800}, "locale": "en-GB", "color_scheme": "light"},
    "phone-zh": {"viewport": {"width": 390, "height": 800}, "locale": "zh-CN", "color_scheme": "dark"},
}
OPENED = ["index", *(chapter.name for chapter in OPERATIONS)]
FAST = {("index", "light"), ("convolution", "phone-zh")}  # the slow tests open every page with every setting
VISITS = [
    pytest.param(name, setting, marks=() if (name, setting) in FAST else pytest.mark.slow)
    for name in OPENED
    for setting in SETTINGS
]


def test_writes_an_index_and_the_chapters(site: Path):
    assert sorted(path.name for path in site.iterdir()) == sorted(NAMES)
    assert all(path.stat().st_size < 1_500_000 for path in site.iterdir())


def test_replaces_a_site_only_with_force(site: Path, tmp_path: Path):
    out = tmp_path / "site"
    assert write_site(out)[0] == out / "index.html"
    with pytest.raises(OutputExists, match="--force"):
        write_site(out)
    write_site(out, "zh", force=True)
    assert '<html lang="zh-Hans"' in (out / "index.html").read_text(encoding="utf-8")
    assert (site / "index.html").is_file()


def test_keeps_a_folder_with_other_files(tmp_path: Path):
    (tmp_path / "index.html").write_text("my home page")
    with pytest.raises(UsageError, match=r"contains no convolution\.html"):
        write_site(tmp_path, force=True)
    assert (tmp_path / "index.html").read_text() == "my home page"


def test_every_link_leads_to_a_page(site: Path):
    for path in site.iterdir():
        for target in re.findall(r'href="([^"#]+)"', path.read_text(encoding="utf-8")):
            assert (site / target).is_file(), f"{path.name} links to {target}"


def test_every_topic_has_a_place():
    names = {chapter.name for chapter in CHAPTERS}
    assert len(TOPICS) == 18
    for topic in TOPICS:
        assert names.intersection(topic.chapters) or topic.explain, topic.name


@pytest.mark.slow
def test_the_script_makes_the_images():
    assert images() == json.loads((files("edgecnn.learning") / "images.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "setting"), VISITS)
def test_page_is_accessible_and_fits_its_window(browser: "Browser", site: Path, name: str, setting: str):
    tab = FileTab(browser, site / f"{name}.html", **SETTINGS[setting])
    assert violations(tab) == []
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    language = tab.page.evaluate("document.documentElement.lang")
    assert language == ("zh-Hans" if setting.endswith(("dark", "zh")) else "en")
    tab.page.click("#language")
    tab.page.click("#theme")
    assert tab.page.evaluate("document.documentElement.lang") != language
    tab.end()


@pytest.mark.slow
def test_keeps_the_language_on_the_next_page(browser: "Browser", tmp_path: Path):
    write_site(tmp_path / "site", "zh")
    tab = FileTab(browser, tmp_path / "site" / "convolution.html")
    assert tab.page.inner_text("h1") == "卷积"
    tab.page.click("#language")
    tab.page.click("a[rel=next]")
    assert tab.page.inner_text("h1") == "Channels"
    tab.page.click("a[rel=prev]")
    assert tab.page.inner_text("h1") == "Convolution"
    tab.end()
