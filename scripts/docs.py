"""Collect the pages for `make docs` in `build/docs`.

Pages are in the folder that they describe, and link to each other and to source files by relative paths, as code hosts
show them. The copy keeps these paths, so that the same links work in the site.
"""

import re
import shutil
from pathlib import Path

from benchmarks.common.results import REPOSITORY

FOLDERS = (".", "docs/**", "exported", "calibration", "deploy/**", "benchmarks", "oip-conformance")
"""Folders with pages that people write."""
RESULTS = "benchmarks/results"
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")


def pages(*folders: str) -> list[Path]:
    """Return the pages in some folders, sorted."""
    return sorted(path for folder in folders for path in REPOSITORY.glob(f"{folder}/*.md"))


def main() -> None:
    """Copy every page, and every file that a page links to."""
    target = REPOSITORY / "build" / "docs"
    shutil.rmtree(target, ignore_errors=True)
    found = set(pages(*FOLDERS, RESULTS))
    linked = {(page.parent / link).resolve() for page in found for link in LINK.findall(page.read_text())}
    for source in found | {path for path in linked if path.is_file()}:
        copy = target / source.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


if __name__ == "__main__":
    main()
