"""The Python snippets of docs/serving.md and docs/reference/protocol.md run unchanged in a clone."""

import re
from collections.abc import Iterator

import pytest
from repository import REPOSITORY
from server_process import Server, serving
from snippets import run_snippet

PAGES = ("docs/serving.md", "docs/reference/protocol.md")
HTTP, GRPC = "127.0.0.1:8080", "127.0.0.1:9000"
SNIPPETS = [
    block
    for page in PAGES
    for block in re.findall(r"^```python\n(.*?)^```", (REPOSITORY / page).read_text(), re.MULTILINE | re.DOTALL)
]


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """A server of the committed bundle, over HTTP and gRPC."""
    with serving("--grpc-port", 0) as server:
        yield server


def test_finds_snippets():
    assert sum(HTTP in snippet for snippet in SNIPPETS) >= 3
    assert any(GRPC in snippet for snippet in SNIPPETS)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=map(str, range(len(SNIPPETS))))
def test_runs_each_snippet(snippet: str, server: Server):
    shown = re.search(r"\[\[(b'[^']+')", snippet)  # the first class in the comment
    output = run_snippet(snippet.replace(HTTP, f"127.0.0.1:{server.port}").replace(GRPC, server.grpc_address))
    assert (shown[1] if shown else "") in output
