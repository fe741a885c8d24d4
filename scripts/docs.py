"""Collect the pages for `make docs` in `build/docs`.

Pages are in the folder that they describe, and link to each other and to source files by relative paths, as code hosts
show them. The copy keeps these paths, so that the same links work in the site.
"""

import re
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PAGES = ("*.md", "docs/**/*.md", "*/README.md", "deploy/*/README.md", "benchmarks/results/*.md")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")


def main() -> None:
    """Copy every page, and every file that a page links to."""
    target = REPOSITORY / "build" / "docs"
    shutil.rmtree(target, ignore_errors=True)
    pages = {path for pattern in PAGES for path in REPOSITORY.glob(pattern)}
    linked = {(page.parent / link).resolve() for page in pages for link in LINK.findall(page.read_text())}
    for source in pages | {path for path in linked if path.is_file()}:
        copy = target / source.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


if __name__ == "__main__":
    main()
