"""The paths of the repository and its committed bundle."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
COMMITTED = REPOSITORY / "exported" / "lenet-digits-int8"
