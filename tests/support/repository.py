"""Where the repository and its committed bundle are."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
COMMITTED = REPOSITORY / "exported" / "lenet-digits-int8"
