"""Collect the pages for `make docs` in `build/docs`.

Pages are in the folder that they describe, and link to each other and to source files by relative paths, as code hosts
show them. The copy keeps these paths, so that the same links work in the site. Each notebook becomes a page with its
text and code, and is copied too, as a file to download.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from benchmarks.common.results import REPOSITORY

FOLDERS = (".", "docs/**", "exported", "calibration", "deploy/**", "benchmarks", "oip-conformance")
"""Folders with pages that people write."""
NOTEBOOKS = "docs/notebooks"
RESULTS = "benchmarks/results"
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")


def pages(*folders: str) -> list[Path]:
    """Return the pages in some folders, sorted."""
    return sorted(path for folder in folders for path in REPOSITORY.glob(f"{folder}/*.md"))


def notebooks() -> list[Path]:
    """Return the notebooks, sorted."""
    return sorted(REPOSITORY.glob(f"{NOTEBOOKS}/*.ipynb"))


def notebook_page(notebook: Path) -> str:
    """Return a notebook as a Markdown page: its text and its code. A link to the file follows the first text."""
    first, *others = map(_markdown, json.loads(notebook.read_text())["cells"])
    return "\n\n".join([first, f"[Download this notebook]({notebook.name})", *others]) + "\n"


def _markdown(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    return linked_to_pages(source) if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"


def linked_to_pages(text: str) -> str:
    """Return a Markdown text with the links to notebooks replaced by links to their pages."""
    return re.sub(r"(\]\([^)#:\s]+)\.ipynb", r"\1.md", text)


def main() -> None:
    """Copy every page, and every file that a page links to."""
    target = REPOSITORY / "build" / "docs"
    shutil.rmtree(target, ignore_errors=True)
    found = set(pages(*FOLDERS, RESULTS))
    linked = {(page.parent / link).resolve() for page in found for link in LINK.findall(page.read_text())}
    for source in found | {path for path in linked if path.is_file()} | set(notebooks()):
        copy = target / source.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            copy.write_text(linked_to_pages(source.read_text()))
        else:
            shutil.copyfile(source, copy)
        if source.suffix == ".ipynb":
            copy.with_suffix(".md").write_text(notebook_page(source))


if __name__ == "__main__":
    main()
