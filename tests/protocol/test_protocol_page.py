"""docs/reference/protocol.md lists every path and every status of the server."""

import json
import re

import pytest
from repository import REPOSITORY

from edgecnn.protocol.refusal import STATUS
from edgecnn.server.grpc.answers import CODES

PAGE = (REPOSITORY / "docs" / "reference" / "protocol.md").read_text()
OPENAPI = json.loads((REPOSITORY / "edgecnn" / "server" / "api" / "openapi.json").read_text())


@pytest.mark.parametrize("path", OPENAPI["paths"])
def test_lists_each_path(path: str):
    written = re.sub(r"\{(model|\{name\})\}", "M", path.replace("{{version_path}}", ""))
    method = next(key for key in OPENAPI["paths"][path] if key != "parameters").upper()
    rows = re.findall(rf"^\| {method} (.*?) \|", PAGE, re.MULTILINE)
    short = "`…/" + written.rpartition("/")[2] + "`"
    assert any(f"`{written}`" in row or short in row for row in rows)


@pytest.mark.parametrize("reason", STATUS)
def test_lists_each_status(reason: str):
    assert f"\n| {STATUS[reason]} | {CODES[reason].name} |" in PAGE
