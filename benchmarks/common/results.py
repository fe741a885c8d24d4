"""The results of a benchmark: its options, its machine, and the two files that it writes.

Full data goes to `build/benchmarks/NAME.json`, which Git ignores. The page goes to `benchmarks/results/NAME.md`.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecnn.bundle.manifest import utc_now
from edgecnn.files.schema import plain
from edgecnn.runtime.site import this_site

REPOSITORY = Path(__file__).parents[2]
BUILD = REPOSITORY / "build"
COMMITTED = REPOSITORY / "exported" / "lenet-digits-int8"
"""The bundle in the repository."""

DIGIT = REPOSITORY / "calibration" / "digits-sample" / "train" / "7" / "1.png"
"""An image of a 7 in the repository."""


@dataclass(frozen=True)
class Output:
    """The files of one benchmark.

    Attributes:
        data: JSON with all measurements.
        page: Markdown with the tables.
    """

    data: Path
    page: Path

    def read(self) -> dict[str, Any]:
        """Return the data of an earlier run; empty if there is none."""
        found: dict[str, Any] = json.loads(self.data.read_text()) if self.data.exists() else {}
        return found

    def write(self, result: Any, page: str) -> None:
        """Write both files."""
        for file, text in ((self.data, json.dumps(result, indent=1, ensure_ascii=False) + "\n"), (self.page, page)):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


def output(name: str, folder: Path | None = None) -> Output:
    """Return the files of a benchmark. If `folder` is given, both are in it."""
    data, pages = (folder, folder) if folder else (BUILD / "benchmarks", REPOSITORY / "benchmarks" / "results")
    return Output(data / f"{name}.json", pages / f"{name}.md")


def command_line(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the unchanged description and the option `--out`."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--out", type=Path, metavar="FOLDER", help="write the data and the page to this folder")
    return found


def origin() -> dict[str, Any]:
    """Return the time, the machine and the versions of a run."""
    return {"site": plain(this_site()), "measured_at": utc_now()}
