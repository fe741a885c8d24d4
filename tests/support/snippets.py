"""Python snippets of pages, run as a reader runs them."""

import subprocess
import sys

from repository import REPOSITORY

from edgecnn.host.child import child_environment


def run_snippet(code: str) -> str:
    """Run a snippet in a clone, with warnings as errors; return its output."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=child_environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
