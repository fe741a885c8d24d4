"""The texts of HTML tables, and checks that the HTML is well-formed and safe."""

from html.parser import HTMLParser

TAGS = {"table", "caption", "thead", "tbody", "tr", "th", "td", "div"}
ATTRIBUTES = {"style", "scope", "dir", "colspan", "aria-hidden"}


def rows(html: str) -> list[list[str]]:
    """Return the texts of captions and rows, after checking the HTML."""
    parser = _Tables()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return [[text for text in row if text] for row in parser.rows]


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        found = dict(attrs)
        assert found.keys() <= ATTRIBUTES
        assert "url(" not in (found.get("style") or "")
        self.open.append(tag)
        if tag in ("caption", "tr"):
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.rows[-1].append(data)
