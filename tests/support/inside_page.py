"""Reads the page "Inside the network" in a browser."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from browser import FileTab

from edgecnn.explaining.explanation import Explanation, Layer

if TYPE_CHECKING:
    from playwright.sync_api import Locator

PHONE = {"viewport": {"width": 390, "height": 800}}
Show = Callable[..., FileTab]
"""Opens the page of an explanation, and the layers with the given ids, in a tab with the given settings."""


def row(tab: FileTab, layer: str) -> "Locator":
    return tab.page.locator(f'.layer[data-id="{layer}"]')


def of(explanation: Explanation, layer: str) -> Layer:
    return next(each for each in explanation.layers if each.id == layer)


def point(view: "Locator", size: tuple[int, int], y: int, x: int) -> None:
    """Move the pointer to a cell of a grid."""
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    assert box is not None
    view.hover(position={"x": (x + 0.5) * box["width"] / size[1], "y": (y + 0.5) * box["height"] / size[0]})


def outlines(view: "Locator", kind: str = "") -> list[tuple[float, ...]]:
    """Return the outlined rectangles of a grid as (top, left, height, width)."""
    found = view.locator(f"rect.line{kind}").all()
    return [tuple(float(each.get_attribute(key) or "") for key in ("y", "x", "height", "width")) for each in found]


def numbers(found: "Locator", *names: str) -> list[float]:
    return [float(found.get_attribute(f"data-{name}") or "nan") for name in names]
