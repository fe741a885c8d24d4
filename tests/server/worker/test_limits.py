"""Tests of the limits of connections that follow from the options and from the limit of open files."""

import subprocess
import sys

import pytest

from edgecnn.host.child import child_environment
from edgecnn.server.options import ServeOptions
from edgecnn.server.worker.limits import limits_of

SCRIPT = """
import logging, resource, sys
logging.basicConfig(format="%(message)s", stream=sys.stdout)
soft, hard, wanted, doors = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from edgecnn.server.worker.limits import affordable_connections
print(affordable_connections(wanted, doors=doors), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "doors", "connections", "raised"),
    [
        (2000, 4000, 1, 1000, 2000),
        (256, 4000, 1, 1000, 1064),  # a file for each, and 64 others
        (256, 1063, 1, 999, 1063),
        (256, 1064, 2, 500, 1064),
        (64, 64, 1, 32, 64),
    ],
)
def test_follows_the_limit_of_open_files(soft: int, hard: int, doors: int, connections: int, raised: int):
    command = [sys.executable, "-c", SCRIPT, *map(str, (soft, hard, 1000, doors))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=child_environment())
    *warnings, result = done.stdout.splitlines()
    assert result == f"{connections} {raised}"
    needed = 1000 * doors + 64
    assert warnings == (
        []
        if connections == 1000
        else [
            f"--max-connections 1000 needs {needed} open files, and the process may have {raised}: it is reduced to "
            f"{connections}; raise ulimit -n"
        ]
    )


@pytest.mark.parametrize(("given", "used"), [(None, 50), (0, 0), (7, 7), (200, 200)])
def test_an_address_may_have_half_of_the_connections(given: int | None, used: int):
    limits = limits_of(ServeOptions(max_connections=100, max_connections_per_address=given, trusted_proxies="10.0.0.1"))
    assert limits.max_connections_per_address == used
    assert limits.trusted_proxies.trusts("10.0.0.1")
    assert limits_of(ServeOptions(max_connections=1)).max_connections_per_address == 1
