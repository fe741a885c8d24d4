"""The web page's files, read once at the start and answered from memory.

They are the same for everybody and hold no secret. What is in `static/` is served under its own name and nothing else
is: a path is never made into a file's name. The page may load its own files and talk to this server, and nothing more.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

from edgecnn.server.http.message import Exchange, Head, Response

INDEX, ICON = "index.html", "icon.svg"

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = (
    ("Cache-Control", "no-cache"),
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Permissions-Policy", "camera=(self)"),
)
"""A browser may keep a file, and asks each time whether it is still the same: an updated server shows its own page."""


@dataclass(frozen=True)
class Page:
    """One file.

    Attributes:
        content: what it holds.
        content_type: of that.
        tag: changes with the content; in quotes, as in the ETag header.
    """

    content: bytes
    content_type: str
    tag: str

    def answer(self, head: Head) -> Response:
        """Answer a request for it; 304 where the client has it already."""
        headers = (("ETag", self.tag), *_HEADERS)
        if _is_known(self.tag, head.headers.get("if-none-match", "")):
            return Response(304, b"", headers)
        return Response(200, self.content, (("Content-Type", self.content_type), *headers))


def read_pages() -> dict[str, Page]:
    """Read the files; returns each by its path on the server."""
    pages = {}
    for file in (files("edgecnn.server.web") / "static").iterdir():
        content_type = _TYPES.get(file.name.rpartition(".")[2])
        if content_type is not None:
            content = file.read_bytes()
            pages[f"/web/{file.name}"] = Page(content, content_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return pages | {"/": pages[f"/web/{INDEX}"], "/favicon.ico": pages[f"/web/{ICON}"]}


def routes(pages: dict[str, Page]) -> dict[str, dict[str, Callable[[Exchange], Response]]]:
    """Return what answers at the pages' paths."""
    return {path: {"GET": _answer_with(page)} for path, page in pages.items()}


def _answer_with(page: Page) -> Callable[[Exchange], Response]:
    return lambda exchange: page.answer(exchange.head)


def _is_known(tag: str, if_none_match: str) -> bool:
    """Tell whether a client's copy is this one (RFC 9110, section 13.1.2)."""
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return tag in known or "*" in known
