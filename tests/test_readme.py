"""The README is short, and its examples run as they are."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import REPOSITORY
from snippets import run_snippet

from edgecnn.host.child import child_environment

README = (REPOSITORY / "README.md").read_text()
CALIBRATION = REPOSITORY / "calibration"


def example(heading: str, language: str) -> str:
    """Return the first code block below a heading."""
    return re.search(rf"^## {heading}\n.*?^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[1]


def test_has_at_most_900_words():
    assert len(README.split()) <= 900


def test_python_example_runs():
    assert "\n7 " in run_snippet(example("In Python", "python"))


@pytest.mark.slow
def test_shell_example_runs(tmp_path: Path):
    shutil.copytree(CALIBRATION, tmp_path / CALIBRATION.name)
    *commands, last = example("In the shell", "sh").splitlines()
    assert len([*commands, last]) == 10
    environment = child_environment() | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-ec", "\n".join(commands)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with subprocess.Popen(
        [*last.split(), "--port", "0"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        assert any(" serves " in line for line in server.stderr)
        server.terminate()
