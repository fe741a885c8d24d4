"""The Python snippets of docs/serving.md that use HTTP run unchanged in a clone."""

import re

import pytest
from repository import REPOSITORY
from server_process import Server
from snippets import run_snippet

PAGE = (REPOSITORY / "docs" / "serving.md").read_text()
SNIPPETS = [block for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S) if "127.0.0.1:8080" in block]


def test_finds_snippets():
    assert len(SNIPPETS) >= 2


@pytest.mark.parametrize("snippet", SNIPPETS, ids=map(str, range(len(SNIPPETS))))
def test_runs_each_snippet(snippet: str, server: Server):
    assert run_snippet(snippet.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}"))
