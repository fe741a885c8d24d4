"""The files of plots. Does not import Matplotlib, so that a wrong name is reported at once."""

from pathlib import Path

from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.errors import UsageError
from edgecnn.files.file import check_writable

FORMATS = (".png", ".svg", ".pdf")


def check_plot(path: Path) -> None:
    """Check that a plot can be written, before long work.

    Raises:
        UsageError: the suffix is not a format of plots, or the file is in a bundle.
        EdgecnnError: the file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--plot {path}: expected a name that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    check_outside_bundles(path)
    check_writable(path)
