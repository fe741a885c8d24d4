"""HTML tables for notebooks: any text is safe, and long tables are short."""

from pathlib import Path

import pytest
from browser import FileTab, chromium, violations
from html_text import rows
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.html_table import MOST_ROWS, table

NASTY = '<img src="http://example.com/x" onerror="alert(1)">&amp;</td><script>alert(1)</script>'


def test_a_row_begins_with_its_heading():
    html = table("Bundle", [("precision", "INT8")])
    assert rows(html) == [["Bundle"], ["precision", "INT8"]]
    assert '<th scope="row"' in html


def test_columns_have_headings():
    html = table("Layers", [("conv1", "156")], header=("layer", "parameters"), right=(1,))
    assert rows(html) == [["Layers"], ["layer", "parameters"], ["conv1", "156"]]
    assert html.count('scope="col"') == 2
    assert html.count("text-align:right") == 2


def test_bars_are_hidden_from_screen_readers():
    html = table("cat", [("cat", "90.0%"), ("dog", "10.0%")], shares=[0.9, 0.1])
    assert rows(html)[1:] == [["cat", "90.0%"], ["dog", "10.0%"]]
    assert html.count('<td aria-hidden="true"') == 2
    assert "width:90.0%" in html


def test_markup_in_a_text_is_text():
    html = table(NASTY, [(NASTY, "1")], header=(NASTY, "n"))
    assert rows(html) == [[NASTY], [NASTY, "n"], [NASTY, "1"]]


@given(st.text(), st.text())
def test_any_text_is_well_formed(caption: str, text: str):
    html = table(caption, [(text, text)])
    rows(html)
    html.encode()  # without unpaired surrogates


def test_control_characters_are_replaced():
    assert rows(table("a\x00b\x1bc\udc80", [])) == [["a�b�c�"]]
    assert rows(table("نه‌گربه 👩‍🚒", [])) == [["نه‌گربه 👩‍🚒"]]


def test_a_long_text_is_shortened_in_the_middle():
    ((found,),) = rows(table("begin" + "x" * 1000 + "end", []))
    assert len(found) == 160
    assert found.startswith("begin")
    assert found.endswith("end")


def test_a_long_table_has_its_first_and_last_rows():
    many = [(f"layer {number}", "1") for number in range(1000)]
    found = rows(table("152 layers", many, last=10))[1:]
    assert len(found) == MOST_ROWS + 1
    assert found[29:32] == [["layer 29", "1"], ["… 960 more …"], ["layer 990", "1"]]
    assert rows(table("", many))[-1] == ["… 960 more …"]
    assert rows(table("", many[:MOST_ROWS]))[1:] == [list(row) for row in many[:MOST_ROWS]]


@pytest.mark.slow
@pytest.mark.parametrize("colors", ["color:#000;background:#fff", "color:#fff;background:#111"])
def test_is_accessible_in_light_and_dark_themes(tmp_path: Path, colors: str):
    tables = [
        table("Bundle", [("classes", NASTY)]),
        table("cat", [("cat", "90.0%")], header=("label", "probability"), right=(1,), shares=[0.9]),
        table("deep", [("", "flatten"), *(("layer", str(number)) for number in range(100))], header=("name", "number")),
    ]
    page = tmp_path / "page.html"
    body = f'<main style="{colors}"><h1>Notebook</h1>{"".join(tables)}</main>'
    page.write_text(f'<!doctype html><html lang="en"><title>Notebook</title><body>{body}</body></html>')
    with chromium() as browser:
        tab = FileTab(browser, page)
        assert violations(tab) == []
        tab.end()
