"""What all plots share: fonts for the texts of any script, logarithmic axes, and the formats of the files."""

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

_FIRST = "DejaVu Sans"  # part of Matplotlib
_REGULAR = 400  # weight
_LONGEST = 24  # characters of a name
_DECADE, _FEW_DECADES = 10, 1000


class Texts:
    """Makes texts legible with the fonts that a plot uses."""

    def __init__(self, missing: frozenset[str]) -> None:
        self._missing = missing

    def line(self, text: str) -> str:
        r"""Return a text in which characters that no font has are escaped: `\u732b`."""
        return "".join(_escaped(each) if each in self._missing or not each.isprintable() else each for each in text)

    def names(self, labels: Sequence[str]) -> list[str]:
        """Return the names of classes, long ones shortened. A name that no font can show is a number from 0: `#7`."""
        return [f"#{number}" if self._is_hidden(label) else _shortened(label) for number, label in enumerate(labels)]

    def axis(self, title: str, labels: Sequence[str]) -> str:
        """Return the title of an axis with `names`, which explains the numbers, if there are any."""
        return f"{title} (#: number of a class)" if any(map(self._is_hidden, labels)) else title

    def _is_hidden(self, label: str) -> bool:
        return not label.isprintable() or not self._missing.isdisjoint(label)


@contextlib.contextmanager
def legible(texts: Iterable[str]) -> Iterator[Texts]:
    """Select the fonts for some texts while the block draws. Dollar signs do not start formulas.

    Matplotlib's own font has Latin, Greek and Cyrillic letters. For other characters, the installed fonts that have
    them are added.
    """
    families, missing = _fonts(frozenset(each for text in texts for each in text if each.isprintable()))
    with mpl.rc_context({"font.family": list(families), "text.parse_math": False}):
        yield Texts(missing)


def rendered(figure: Figure, suffix: str) -> bytes:
    """Return a figure as the content of a file with the suffix `.png`, `.svg` or `.pdf`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix.lower().removeprefix("."), dpi=100)
    return buffer.getvalue()


def spans_decades(values: Sequence[float]) -> bool:
    """Return whether values need a logarithmic axis: all are positive, and the largest is ten times the smallest."""
    return bool(values) and min(values) > 0 and max(values) >= _DECADE * min(values)


def use_decades(axis: Any) -> None:
    """Make an x axis or a y axis logarithmic. Its ticks are plain numbers: formulas are switched off."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = sorted(axis.get_view_interval())
    steps = (1.0, 2.0, 5.0) if high < _FEW_DECADES * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_beside(axes: Any) -> None:
    """Put the legend to the right of the axes, where it covers nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


@cache
def _fonts(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the families that have these characters, the first one first, and the characters that no family has."""
    families, missing = [_FIRST], characters - _characters(_FIRST)
    for family in _installed() if missing else ():
        if found := missing & _characters(family):
            families.append(family)
            missing -= found
        if not missing:
            break
    return tuple(families), missing


def _installed() -> list[str]:
    """Return the installed families: Noto's for texts first, with the Chinese forms of Chinese characters."""
    own = mpl.get_data_path()  # fonts for formulas, and one that shows the frames of missing characters
    names = {
        each.name
        for each in font_manager.fontManager.ttflist
        if (each.weight, each.style, each.stretch) == (_REGULAR, "normal", "normal") and not each.fname.startswith(own)
    }
    return sorted(
        names, key=lambda name: (not name.startswith("Noto Sans"), "Mono" in name, not name.endswith("SC"), name)
    )


def _characters(family: str) -> frozenset[str]:
    """Return the characters of the family's regular font; none if Matplotlib cannot draw with it."""
    try:
        path = font_manager.findfont(font_manager.FontProperties(family=[family]), fallback_to_default=False)
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except (ValueError, RuntimeError, OSError):  # bitmap fonts, and damaged ones
        return frozenset()


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 + 1 :]}"
