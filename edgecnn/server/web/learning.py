"""Serves the pages of `edgecnn learn`. Each page is one file, which is rendered at its first request."""

from functools import cache, partial

from edgecnn.learning.site import INDEX, NAMES, page_of
from edgecnn.server.http.message import Exchange, Handler, Response
from edgecnn.server.web.pages import Page, page

_FOLDER = "/learn/"


def learning_pages() -> dict[str, Handler]:
    """Return the handlers of the pages by their paths on the server."""
    pages: dict[str, Handler] = {f"{_FOLDER}{name}": partial(_answer, name) for name in NAMES}
    return pages | {"/learn": _redirect, _FOLDER: pages[f"{_FOLDER}{INDEX}"]}


def _answer(name: str, exchange: Exchange) -> Response:
    return _rendered(name).answer(exchange)


def _redirect(_: Exchange) -> Response:
    """Lead to the folder, so that relative links work. A proxy may serve it under another path: so is the location."""
    return Response(308, b"", (("Location", _FOLDER.removeprefix("/")),))


@cache
def _rendered(name: str) -> Page:
    rendered = page_of(name)
    return page("html", rendered.html.encode(), f"{rendered.policy}; form-action 'none'; frame-ancestors 'none'")
