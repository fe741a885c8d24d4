"""Prints the estimated and the real peak of the memory for one image, in bytes, in this process.

Arguments: a small file and a large file of the same kind, and the Python expression of a `Preprocessing`.
"""

import re
import sys
from pathlib import Path

from edgecnn.bundle.preprocessing import Preprocessing, Resize

_ = Resize  # for the expression


def resident(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def main() -> None:
    small, large = (Path(path).read_bytes() for path in sys.argv[1:3])
    preprocessing: Preprocessing = eval(sys.argv[3])
    preprocessing.image(small)  # imports and tables of the parser
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before, estimates = resident("VmRSS"), []
    preprocessing.image(large, admit=lambda need: estimates.append(need.memory_bytes))
    print(*estimates, resident("VmHWM") - before)


if __name__ == "__main__":
    main()
