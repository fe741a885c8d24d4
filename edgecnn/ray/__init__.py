"""Run edgecnn on a Ray cluster: batch jobs, and a deployment for Ray Serve.

Must not import the pipeline or the server. Ray's usage statistics stay off.
"""

import os
from typing import TYPE_CHECKING, Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray starts a cluster

if TYPE_CHECKING:
    from edgecnn.ray.serving import deployment

__all__ = ["deployment"]


def __getattr__(name: str) -> Any:
    """Import the deployment on first use: Ray Serve takes seconds to import."""
    if name != "deployment":
        raise AttributeError(f"module 'edgecnn.ray' has no attribute {name!r}")
    from edgecnn.ray.serving import deployment as found

    return found
