"""The rank of this process, which `torchrun` sets. Imports no PyTorch, so that the command line can read it."""

import os


def writes_results() -> bool:
    """Return whether this process writes results. Works before `join`."""
    return int(os.environ.get("RANK", "0")) == 0


def local_rank() -> int:
    """Return this process's number on its machine, which is also its GPU's number."""
    return int(os.environ.get("LOCAL_RANK", "0"))
