"""The Python snippets of the documents that use a server over HTTP run unchanged, from a clone."""

import re
import subprocess
import sys

import pytest
from repository import REPOSITORY
from server_process import Server

from edgecnn.host.child import child_environment

DOCUMENTS = ("README.md", "docs/serving.md")
SNIPPETS = [
    pytest.param(block, id=f"{name}-{number}")
    for name in DOCUMENTS
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", (REPOSITORY / name).read_text(), re.M | re.S))
    if "127.0.0.1:8080" in block
]


def test_finds_snippets():
    assert len(SNIPPETS) >= 3


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_runs_each_snippet(snippet: str, server: Server):
    code = snippet.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}").replace(
        "127.0.0.1:8081", f"localhost:{server.port}"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=child_environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
