"""Serve the committed bundle with Ray Serve on the loopback, until stdin ends. Prints the URL when it is ready."""

import socket
import sys

from ray_cluster import ray_cluster
from repository import COMMITTED


def main() -> None:
    """Start a cluster of one core and the deployment."""
    import ray
    from ray import serve

    import edgecnn.ray

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ray_cluster() as cluster:
        ray.init(address=cluster.address, logging_level="ERROR")
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(edgecnn.ray.deployment(COMMITTED, engine="onnxruntime", max_requests=4), name="digits")
        print(f"http://127.0.0.1:{port}", flush=True)
        sys.stdin.read()
        ray.shutdown()


if __name__ == "__main__":
    main()
