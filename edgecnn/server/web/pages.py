"""Serves the files of the web page, which are read once at the start.

Only the files in `static/` are served: a path from a request never becomes a file name. They contain no secret. The
content security policy only allows the page to load its own files and to connect to this server.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from edgecnn.bundle.formats import SERVED, listed, media_type
from edgecnn.server.http.message import Exchange, Response

INDEX, DOCS, ICON = "index.html", "docs.html", "icon.svg"

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("Cache-Control", "no-cache"),
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Permissions-Policy", "camera=(self)"),
)
"""A browser may cache a file, and revalidates it each time, so that it shows the page of an updated server."""


@dataclass(frozen=True)
class Page:
    """One file; its tag changes with the content and is in quotes, as in the ETag header."""

    content: bytes
    content_type: str
    tag: str

    def answer(self, exchange: Exchange) -> Response:
        """Return the file, or 304 if the client already has it (RFC 9110, section 13.1.2)."""
        headers = (("ETag", self.tag), *_HEADERS)
        known = exchange.head.headers.get("if-none-match", "")
        if not {self.tag, "*"}.isdisjoint(each.strip().removeprefix("W/") for each in known.split(",")):
            return Response(304, b"", headers)
        return Response(200, self.content, (("Content-Type", self.content_type), *headers))


def read_pages(formats: Sequence[str] = SERVED) -> dict[str, Page]:
    """Read the files, for a server that accepts image files of `formats`. Returns each by its path on the server."""
    values = {b"{{formats}}": listed(formats), b"{{types}}": ",".join(media_type(name) for name in formats)}
    pages = {}
    for file in (files("edgecnn.server.web") / "static").iterdir():
        content_type = _TYPES.get(file.name.rpartition(".")[2])
        if content_type is not None:
            content = file.read_bytes()
            for name, value in values.items():
                content = content.replace(name, value.encode())
            pages[f"/web/{file.name}"] = Page(content, content_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    named = {"/": INDEX, "/docs": DOCS, "/favicon.ico": ICON}
    return pages | {path: pages[f"/web/{name}"] for path, name in named.items()}
