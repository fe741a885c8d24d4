"""Serves the files of the web page, which are read once at the start.

Only the static files of the page and its two documents are served: a path from a request never becomes a file name.
They contain no secret. The content security policy only allows the page to load its own files and to connect to this
server.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from edgecnn.bundle.formats import SERVED, media_type
from edgecnn.pages.page import render_linked, static_files
from edgecnn.pages.words import LANGUAGES, catalogue
from edgecnn.server.http.message import Exchange, Response

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("Cache-Control", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Permissions-Policy", "camera=(self)"),
)
"""A browser may cache a file, and revalidates it each time, so that it shows the page of an updated server."""

_PACKAGE, _INSIDE = "edgecnn.server.web", "edgecnn.explaining"


@dataclass(frozen=True)
class Page:
    """One file; its tag changes with the content and is in quotes, as in the ETag header."""

    content: bytes
    content_type: str
    tag: str
    policy: str = _POLICY

    def answer(self, exchange: Exchange) -> Response:
        """Return the file, or 304 if the client already has it (RFC 9110, section 13.1.2)."""
        headers = (("ETag", self.tag), ("Content-Security-Policy", self.policy), *_HEADERS)
        known = exchange.head.headers.get("if-none-match", "")
        if not {self.tag, "*"}.isdisjoint(each.strip().removeprefix("W/") for each in known.split(",")):
            return Response(304, b"", headers)
        return Response(200, self.content, (("Content-Type", self.content_type), *headers))


def read_pages(formats: Sequence[str] = SERVED) -> dict[str, Page]:
    """Read the files, for a server that accepts image files of `formats`. Returns each by its path on the server."""
    types = ",".join(media_type(name) for name in formats)
    index = render_linked(
        _PACKAGE,
        "index.html",
        scripts=("app.js",),
        styles=("parts.css", "answers.css"),
        formats=", ".join(formats),
        types=types,
    )
    docs = render_linked(_PACKAGE, "docs.html", scripts=("docs.js",), styles=("parts.css", "docs.css"))
    texts = {language: dict(catalogue(_INSIDE, language)) for language in LANGUAGES}
    pages = {
        "/": page("html", index.encode()),
        "/docs": page("html", docs.encode()),
        "/web/inside.json": page("json", json.dumps(texts, ensure_ascii=False).encode()),
    }
    for file in static_files(_PACKAGE, _INSIDE):
        suffix = file.name.rpartition(".")[2]
        if suffix in _TYPES:
            pages[f"/web/{file.name}"] = page(suffix, file.read_bytes())
    return pages | {"/favicon.ico": pages["/web/icon.svg"]}


def page(suffix: str, content: bytes, policy: str = _POLICY) -> Page:
    """Return a file with this suffix of its name."""
    return Page(content, _TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"', policy)
