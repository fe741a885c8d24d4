"""Plots: fonts for every script, formats, and logarithmic axes."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

from edgecnn.pipeline import plotting
from edgecnn.pipeline.plotting import legible, rendered, spans_decades, use_decades


def make_font(path: Path, family: str, characters: str) -> None:
    """Write a font in which each of some characters is a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    names = [".notdef", *(f"u{ord(each):04X}" for each in characters)]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(each): f"u{ord(each):04X}" for each in characters})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave only the fonts of Matplotlib."""
    own = [each for each in font_manager.fontManager.ttflist if plotting.mpl.get_data_path() in each.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    plotting._fonts.cache_clear()
    yield
    plotting._fonts.cache_clear()


def picture(texts: list[str], suffix: str = ".png") -> bytes:
    """Draw names and a title."""
    with legible(texts) as shown:
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        axes.set_yticks(range(len(texts)), shown.names(texts))
        axes.set(title=shown.line(texts[0]), ylabel=shown.axis("class", texts))
        return rendered(figure, suffix)


NAMES = ["猫", "कुत्ता", "ក្រុម", "🐱", "price $10$ to $20$", "a\nb", "\ud800", "x" * 500, "<b>", "é"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_names_without_a_font_are_numbers(no_fonts: None, suffix: str, caplog: pytest.LogCaptureFixture):
    content = picture(NAMES, suffix)  # a warning of Matplotlib would be an error here
    assert content.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    with legible(NAMES) as shown:
        names = shown.names(NAMES)
        assert [names[i] for i in (0, 1, 2, 4, 5, 6, 8)] == ["#0", "#1", "#2", NAMES[4], "#5", "#6", "<b>"]
        assert len(names[7]) < 30
        assert shown.axis("class", NAMES) == "class (#: number of a class)"
        assert shown.axis("class", ["cat"]) == "class"
        assert shown.line("on 猫\n") == r"on \u732b\n"


def test_an_installed_font_shows_its_script(no_fonts: None, tmp_path: Path):
    make_font(tmp_path / "khmer.ttf", "Some Khmer", "ក្រុម")
    font_manager.fontManager.addfont(tmp_path / "khmer.ttf")
    with legible(["ក្រុម", "cat"]) as shown:
        assert shown.names(["ក្រុម", "猫"]) == ["ក្រុម", "猫"]
        assert plotting.mpl.rcParams["font.family"] == ["DejaVu Sans", "Some Khmer"]
    picture(["ក្រុម", "cat"])
    assert plotting.mpl.rcParams["font.family"] != ["DejaVu Sans", "Some Khmer"], "the setting is restored"


def test_damaged_fonts_are_skipped(no_fonts: None, tmp_path: Path):
    make_font(tmp_path / "broken.ttf", "Broken", "猫")
    font_manager.fontManager.addfont(tmp_path / "broken.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with legible(["猫"]) as shown:
        assert shown.names(["猫"]) == ["#0"]


def test_the_fonts_of_this_machine_draw_without_warnings(caplog: pytest.LogCaptureFixture):
    picture(NAMES)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 10.0], True), ([1.0, 9.0], False), ([0.0, 100.0], False), ([-1.0, 1.0], False), ([], False)],
)
def test_values_over_a_decade_need_a_logarithm(values: list[float], expected: bool):
    assert spans_decades(values) == expected


def test_ticks_of_a_logarithmic_axis_are_plain_numbers():
    with legible([]):
        figure = Figure()
        axes = figure.subplots()
        axes.plot([1, 2], [0.02, 3])
        use_decades(axes.yaxis)
        figure.canvas.draw()
        assert axes.get_yscale() == "log"
        assert {"0.05", "0.1", "1"} <= {label.get_text() for label in axes.get_yticklabels()}
