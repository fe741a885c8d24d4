"""HTML tables for notebooks: what `_repr_html_` of the public classes returns.

Every text is escaped. A table has no script, style sheet, image or link. It takes its colors from the theme of the
notebook, so that it is readable in light and dark themes. This module uses only the standard library.
"""

import unicodedata
from collections.abc import Collection, Sequence
from html import escape

MOST_ROWS = 40
_LONGEST = 160  # characters of a text
_TABLE = "border-collapse:collapse;margin:0.5em 0;color:inherit;background:transparent"
_CAPTION = "caption-side:top;text-align:left;font-weight:bold;padding:0.25em 0.5em;color:inherit"
_ROW = '<tr style="border-bottom:1px solid rgba(128,128,128,0.4);background:transparent">'
_CELL = "padding:0.25em 0.5em;text-align:left"
_NUMBER = "padding:0.25em 0.5em;text-align:right"
_FILL = "height:0.8em;min-width:1px;background:#3b82f6"  # a contrast of 3:1 or more with white and with black


def table(
    caption: str,
    rows: Sequence[Sequence[str]],
    *,
    header: Sequence[str] = (),
    right: Collection[int] = (),
    shares: Sequence[float] = (),
    last: int = 0,
) -> str:
    """Return a table as HTML. The first text of a row is its heading.

    Args:
        caption: title of the table.
        rows: rows of equally many texts. Of more than 40, only the first ones and the `last` ones are shown, with the
            number of hidden rows between them.
        header: heading of each column; empty for none.
        right: columns that are aligned to the right.
        shares: a number in [0, 1] for each row, drawn as a bar; empty for none. Screen readers skip the bars: a column
            must contain the number.
        last: number of rows at the end that are always shown.
    """
    lines = [f'<table style="{_TABLE}"><caption style="{_CAPTION}" dir="auto">{_text(caption)}</caption>']
    bar = ['<td aria-hidden="true"></td>'] if shares else []
    if header:
        heads = [_cell(text, i in right, scope="col") for i, text in enumerate(header)]
        lines.append(f"<thead>{_ROW}{''.join([*heads, *bar])}</tr></thead>")
    lines.append("<tbody>")
    hidden = range(MOST_ROWS - last, len(rows) - last) if len(rows) > MOST_ROWS else range(0)
    for number, row in enumerate(rows):
        cells = [_cell(text, i in right, scope="row" if text and not i else "") for i, text in enumerate(row)]
        cells += [_bar(shares[number])] if shares else []
        if hidden and number == hidden.start:
            lines.append(f'{_ROW}<td colspan="{len(cells)}" style="{_CELL}">… {len(hidden)} more …</td></tr>')
        if number not in hidden:
            lines.append(f"{_ROW}{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _cell(text: str, is_number: bool, *, scope: str) -> str:
    """Return a cell: the heading of a row or a column with a scope, else plain."""
    tag, attribute = ("th", f' scope="{scope}"') if scope else ("td", "")
    return f'<{tag}{attribute} dir="auto" style="{_NUMBER if is_number else _CELL}">{_text(text)}</{tag}>'


def _bar(share: float) -> str:
    return f'<td aria-hidden="true" style="{_CELL};width:8em"><div style="{_FILL};width:{share:.1%}"></div></td>'


def _text(text: str) -> str:
    """Return a text as HTML: shortened in the middle, escaped, without control characters and unpaired surrogates."""
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 + 1 :]}"
    return escape("".join("�" if unicodedata.category(each) in ("Cc", "Cs") else each for each in short))
