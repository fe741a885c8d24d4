"""Compute the shards of a batch job on a Ray cluster: one classifier per actor, one shard per task.

Ray Data starts the actors, and repeats the tasks of a node that dies. Workers return the bytes of a shard, and only the
driver writes to the output folder, so that a shard is written once.
"""

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from edgecnn.batch.computing import Shard, compute_shards, proven_classifier
from edgecnn.batch.job import Environment, Job, environment_of
from edgecnn.batch.plan import Entry
from edgecnn.batch.running import Compute, Work
from edgecnn.batch.sources import open_images
from edgecnn.errors import EdgecnnError, NodeWarning, ProofFailed
from edgecnn.files import schema
from edgecnn.ray.cluster import ray_module
from edgecnn.ray.shipping import files_of, received
from edgecnn.runtime.setting import Setting

_WAVE = 1024
"""Shards of one Ray dataset, whose lists of images are in Ray's memory."""

_NODE_ID = "ray.io/node-id"


@dataclass(frozen=True)
class Task:
    """What an actor needs besides the bundle: the job and its source."""

    job: Job
    sources: tuple[str, ...]
    column: str | None


class ShardActor:
    """A worker with one classifier. A node whose self-test fails refuses its shards."""

    def __init__(self, task: Task, files: Sequence[Any]) -> None:
        ray = ray_module()
        context = ray.get_runtime_context()
        self._node = {"node": context.get_node_id(), "address": ray.util.get_node_ip_address()}
        self._task = task
        self._refusal: EdgecnnError | None = None
        try:
            bundle = received(task.job.digest, ray.get(files[0]))
            self._classifier = proven_classifier(bundle, task.job.setting)
            self._source = open_images(task.sources, column=task.column)
        except EdgecnnError as error:
            self._refusal = error
        else:
            self._environment = environment_of(self._classifier.info, task.job.format)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Compute one shard, or say why this node cannot."""
        if self._refusal is not None:
            return self._answer(row)
        entries = [Entry(*each) for each in json.loads(row["entries"])]
        planned = [(int(row["shard"]), entries)]
        try:
            job = self._task.job
            (shard,) = compute_shards(
                self._classifier, self._source, job, planned, self._environment, workers=cores_of(job.setting)
            )
        except EdgecnnError as error:
            return self._answer(row, failure=str(error))
        return self._answer(row, shard=shard)

    def _answer(self, row: dict[str, Any], *, shard: Shard | None = None, failure: str = "") -> dict[str, Any]:
        """Return a row of one schema."""
        return {
            "shard": int(row["shard"]),
            "content": b"" if shard is None else shard.content,
            "images": 0 if shard is None else shard.images,
            "errors": 0 if shard is None else shard.errors,
            "first_errors": json.dumps([] if shard is None else shard.first_errors),
            "environment": "" if shard is None else schema.dump(shard.environment),
            "refusal": "" if self._refusal is None else str(self._refusal),
            "is_proof": isinstance(self._refusal, ProofFailed),
            "failure": failure,
            **self._node,
        }


def on_cluster(sources: Sequence[str], column: str | None, *, min_actors: int, max_actors: int | None) -> Compute:
    """Return the function that computes shards on the connected cluster.

    Args:
        sources: see `open_images`; every node reads the same paths.
        column: see `open_images`.
        min_actors: smallest number of actors.
        max_actors: largest number of actors; None for as many as the cluster's cores allow.
    """
    places = tuple(os.path.abspath(source) for source in sources)  # noqa: PTH100  # Path.resolve would follow links

    def compute(work: Work, shards: Sequence[int]) -> Iterator[Shard]:
        if not shards:
            return
        work.classifier.close()  # an actor on this machine needs its memory
        pool = _Pool(work, Task(work.job, places, column), min_actors, max_actors)
        for start in range(0, len(shards), _WAVE):
            missing = set(shards[start : start + _WAVE])
            while missing:
                for shard in pool.run(missing):
                    missing.remove(shard.number)
                    work.advance(shard.images)
                    yield shard

    return compute


def cores_of(setting: Setting) -> int:
    """Return the cores of an actor."""
    return setting.threads * setting.instances


class _Pool:
    """Runs tasks on the nodes that have not refused."""

    def __init__(self, work: Work, task: Task, min_actors: int, max_actors: int | None) -> None:
        """Put the bundle into Ray's memory and check that an actor fits on a node.

        Raises:
            EdgecnnError: no node has enough cores.
        """
        ray = ray_module()
        self._work, self._task = work, task
        self._cores = cores_of(work.job.setting)
        self._limits = min_actors, max_actors
        self._refused: dict[str, str] = {}  # node -> reason
        self._are_proofs = True
        self._warned: set[str] = set()
        self._files = ray.put(files_of(work.bundle))

    def run(self, shards: Iterable[int]) -> Iterator[Shard]:
        """Yield the shards that a node has computed. The shards of a node that refuses are left out.

        Raises:
            EdgecnnError: no node is left, or the source has vanished.
        """
        ray = ray_module()
        least, most = self._sizes()
        rows = [
            {"shard": number, "entries": json.dumps([astuple(each) for each in self._work.plan.entries(number)])}
            for number in sorted(shards)
        ]
        selector = {_NODE_ID: f"!in({','.join(self._refused)})"} if self._refused else None
        computed = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            ShardActor,
            fn_constructor_args=(self._task, [self._files]),
            num_cpus=self._cores,
            compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most, max_tasks_in_flight_per_actor=2),
            label_selector=selector,
        )
        computed.context.enable_progress_bars = False
        try:
            for row in computed.iter_rows():
                shard = self._taken(row)
                if shard is not None:
                    yield shard
        except ray.exceptions.RayError as error:
            raise EdgecnnError(f"Ray failed: {_last_line(error)}; run the same command again to continue") from None

    def _sizes(self) -> tuple[int, int]:
        """Return the least and the largest number of actors that the nodes have cores for.

        Raises:
            EdgecnnError: none of them has enough cores, or all have refused.
        """
        ray = ray_module()
        nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in self._refused]
        if not nodes:
            reasons = "; ".join(dict.fromkeys(self._refused.values()))
            kind = ProofFailed if self._are_proofs else EdgecnnError
            raise kind(f"no node of the cluster can run the bundle: {reasons:.500}")
        room = sum(int(node["Resources"].get("CPU", 0)) // self._cores for node in nodes)
        if not room:
            largest = max(int(node["Resources"].get("CPU", 0)) for node in nodes)
            threads = largest // self._work.job.setting.instances
            advice = f": pass --threads {threads}" if threads else ""
            raise EdgecnnError(f"no node has {self._cores} cores for an actor, the largest has {largest}{advice}")
        least, most = self._limits
        most = min(most or room, room)
        return min(least, most), most

    def _taken(self, row: Mapping[str, Any]) -> Shard | None:
        """Return a computed shard; None if the node refused."""
        if row["refusal"]:
            if row["node"] not in self._refused:
                warnings.warn(f"node {row['address']} is left out: {row['refusal']}", NodeWarning, stacklevel=2)
            self._refused[row["node"]] = row["refusal"]
            self._are_proofs &= bool(row["is_proof"])
            return None
        if row["failure"]:
            raise EdgecnnError(f"node {row['address']}: {row['failure']}; run the same command again to continue")
        environment = schema.parse(Environment, row["environment"])
        difference = self._work.environment.difference(environment)
        if difference is not None and row["node"] not in self._warned:
            self._warned.add(row["node"])
            warnings.warn(
                f"node {row['address']} differs from the job's environment ({difference}): its labels agree where the "
                f"margin exceeds the bundle's tolerance",
                NodeWarning,
                stacklevel=2,
            )
        return Shard(
            number=row["shard"],
            content=row["content"],
            images=row["images"],
            errors=row["errors"],
            first_errors=tuple(json.loads(row["first_errors"])),
            environment=environment,
        )


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[-1] if lines else type(error).__name__:.300}"
