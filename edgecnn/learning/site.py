"""Writes the site: an index and one page a chapter. Each page is one file; the pages link to each other."""

from pathlib import Path

from edgecnn.files.folder import check_output, write_folder
from edgecnn.learning.chapters import CHAPTERS, Chapter
from edgecnn.learning.topics import TOPICS
from edgecnn.pages.page import LanguageChoice, Page, render

INDEX = "index.html"
MARKER = "convolution.html"
"""The file that identifies a folder that `force` may replace."""

_PARTS = tuple(dict.fromkeys(chapter.part for chapter in CHAPTERS))
_BY_FILE = {f"{chapter.name}.html": chapter for chapter in CHAPTERS}

NAMES = (INDEX, *_BY_FILE)
"""The file names of the pages."""


def write_site(out: Path, language: LanguageChoice = "auto", *, force: bool = False) -> tuple[Path, ...]:
    """Write the site as the folder `out`, atomically.

    Args:
        out: the folder to write.
        language: language of the pages.
        force: whether an existing site may be replaced.

    Returns:
        The pages' files, the index first.

    Raises:
        OutputExists: `out` exists and `force` is false.
        UsageError: `out` is a folder with something else.
        EdgecnnError: writing failed; nothing has changed.
    """
    check_output(out, marker=MARKER, force=force)
    contents = {name: page_of(name, language).html.encode() for name in NAMES}
    write_folder(out, contents, marker=MARKER, force=force)
    return tuple(out / name for name in NAMES)


def page_of(name: str, language: LanguageChoice = "auto") -> Page:
    """Return the page with a file name. Its links are relative."""
    if name != INDEX:
        return _chapter_page(_BY_FILE[name], language)
    return render(
        "edgecnn.learning",
        INDEX,
        styles=("learn.css",),
        language=language,
        chapters=CHAPTERS,
        parts=_PARTS,
        topics=TOPICS,
        existing={chapter.name for chapter in CHAPTERS},
    )


def _chapter_page(chapter: Chapter, language: LanguageChoice) -> Page:
    place = CHAPTERS.index(chapter)
    return render(
        chapter.package,
        f"{chapter.name}.html",
        scripts=chapter.scripts,
        styles=("learn.css", *chapter.styles),
        language=language,
        data=chapter.data() if chapter.data else None,
        charts=chapter.charts,
        chapter=chapter,
        chapters=CHAPTERS,
        parts=_PARTS,
        previous=CHAPTERS[place - 1] if place else None,
        following=CHAPTERS[place + 1] if place + 1 < len(CHAPTERS) else None,
    )
