"""The cost of a batch job on a Ray cluster: a model, its fit, and its error on runs that the fit has not seen.

    seconds = start + rounds × images of a shard × per_image × slowest
    rounds  = ⌈images / (images of a shard × actors)⌉

`rounds` contains the stragglers: the last round takes as long as its last shard. `slowest` is 1 if a core is left for
the driver. With one actor on each core of this machine, the driver and Ray take time of the actors; the fit finds how
much. The cost of a shard itself was not distinguishable from 0.
"""

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.batch.throughput import list_of, photograph_files
from benchmarks.engines.bundles import RUNTIME, prepared
from edgecnn.host.resources import usable_cores

NETWORK = "resnet50"


@dataclass(frozen=True)
class Run:
    """A job: images, images of a shard, and actors of one core."""

    images: int
    shard_images: int
    actors: int

    @property
    def rounds(self) -> int:
        """Shards that the busiest actor computes."""
        return math.ceil(math.ceil(self.images / self.shard_images) / self.actors)


FITTED = (Run(128, 32, 1), Run(512, 32, 1), Run(512, 128, 1), Run(512, 32, 2), Run(1024, 128, 2))
HELD_OUT = (Run(768, 64, 1), Run(900, 50, 1), Run(640, 80, 2), Run(1536, 64, 2), Run(1100, 100, 2))


@dataclass(frozen=True)
class CostModel:
    """Seconds to start and for an image, and how much slower the actors are beside the driver."""

    start: float
    per_image: float
    slowest: float

    def seconds(self, run: Run) -> float:
        """Return the predicted duration of a job."""
        return self.start + run.rounds * run.shard_images * self.per_image * _beside(run, self.slowest)


def fit(runs: Sequence[tuple[Run, float]]) -> CostModel:
    """Return the model with the least squares of relative errors."""
    seconds = np.array([taken for _, taken in runs])

    def fitted(slowest: float) -> tuple[float, CostModel]:
        rows = np.array([(1, run.rounds * run.shard_images * _beside(run, slowest)) for run, _ in runs], float)
        (start, per_image), errors, *_ = np.linalg.lstsq(rows / seconds[:, None], np.ones(len(runs)), rcond=None)
        return float(errors[0]), CostModel(float(start), float(per_image), slowest)

    return min((fitted(float(each)) for each in np.arange(1, 2, 0.01)), key=lambda found: found[0])[1]


def _beside(run: Run, slowest: float) -> float:
    """Return the factor of an image's time: `slowest` if the actors use all cores, which the driver shares."""
    return slowest if run.actors >= usable_cores() else 1.0


def measure_scale() -> dict[str, Any]:
    """Return the runs, the model, and its error on each run."""
    taken: list[tuple[Run, float]] = []
    for run in (*FITTED, *HELD_OUT):
        with cluster(run.actors) as address:
            taken.append((run, _seconds(run, address)))
        print(run, f"{taken[-1][1]:.1f} s", flush=True)
    model = fit([(run, seconds) for run, seconds in taken if run in FITTED])
    rows = [
        asdict(run) | {"seconds": seconds, "predicted": model.seconds(run), "is_fitted": run in FITTED}
        for run, seconds in taken
    ]
    return {"network": NETWORK, "model": asdict(model), "runs": rows}


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """Start a Ray cluster of nodes with one core each on this machine, and yield its address."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # all processes listen on the loopback only
    from ray.cluster_utils import Cluster

    import edgecnn.ray  # noqa: F401  # turns usage statistics off

    node = {"num_cpus": 1, "object_store_memory": 200 << 20, "node_ip_address": "127.0.0.1"}
    started: Any = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            started.add_node(**node, dashboard_agent_listen_port=0)
        started.wait_for_nodes()
        yield started.address
    finally:
        started.shutdown()


def _seconds(run: Run, address: str) -> float:
    """Return the duration of `edgecnn batch --ray`, with the start of its process."""
    files = photograph_files(run.images)
    with tempfile.TemporaryDirectory(dir=RUNTIME) as place:
        options = {
            "out": Path(place) / "out",
            "shard-images": run.shard_images,
            "ray": address,
            "threads": 1,
            "min-actors": run.actors,
            "max-actors": run.actors,
        }
        command = [sys.executable, "-m", "edgecnn", "batch", str(prepared(NETWORK, "int8").path)]
        command.append(str(list_of(files, Path(place))))
        start = time.perf_counter()
        subprocess.run(
            [*command, *(f"--{name}={value}" for name, value in options.items())], check=True, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - start
