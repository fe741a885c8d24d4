"""A Ray cluster on this machine. All its processes listen on the loopback only."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

# Ray reads both at import. The first one makes 127.0.0.1 a node's address, as on macOS and Windows.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

NODE: dict[str, Any] = {
    "num_cpus": 1,
    "object_store_memory": 100 << 20,
    "node_ip_address": "127.0.0.1",
    "dashboard_agent_listen_port": 0,
}

HEAD: dict[str, Any] = NODE | {
    "include_dashboard": False,
    # A killed node is found within 2 s instead of 15 s; a busy machine still has time to answer.
    "_system_config": {
        "health_check_initial_delay_ms": 500,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 3,
        "health_check_timeout_ms": 10_000,
    },
}


@contextlib.contextmanager
def ray_cluster() -> Iterator["Cluster"]:
    """Start a head node with one core, with a folder of its own for the sockets, whose paths must be short."""
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder, temporary_folder(folder):
        own = {"XDG_CACHE_HOME": folder, "XDG_STATE_HOME": folder}
        started = Cluster(initialize_head=True, head_node_args=HEAD | {"env_vars": own})
        try:
            yield started
        finally:
            started.shutdown()


@contextlib.contextmanager
def temporary_folder(folder: str) -> Iterator[None]:
    """Set Ray's temporary folder for this process and its children."""
    earlier = os.environ.get("RAY_TMPDIR")
    os.environ["RAY_TMPDIR"] = folder
    try:
        yield
    finally:
        if earlier is None:
            del os.environ["RAY_TMPDIR"]
        else:
            os.environ["RAY_TMPDIR"] = earlier
