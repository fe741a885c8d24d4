"""`edgecnn.batch_predict`: classify many images, in shards."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.errors import UsageError
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import Precision, SessionOptions
from edgecnn.stages.describing import check_names, names_of
from edgecnn.stages.opening import BundleLike

if TYPE_CHECKING:
    from edgecnn.batch.running import BatchReport


def batch_predict(
    bundle: BundleLike,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    engine: str = "auto",
    device: str = "cpu",
    precision: Precision = "fp32",
    threads: int | None = None,
    ray: str | None = None,
    min_actors: int | None = None,
    max_actors: int | None = None,
    progress: Progress = silent,
    **options: Any,
) -> "BatchReport":
    """Classify the images of a folder, a list, archives or tables, and write the answers as shards to a folder.

    A second call with the same arguments computes only the shards that are missing or damaged. An image that cannot be
    read gets a row with its error.

    Args:
        bundle: a bundle or its folder, or a folder of bundles from which `edgecnn tune` has chosen one.
        sources: a folder; a text file with one path per line; a glob pattern; or one or several images, tar archives
            (such as WebDataset's) or Parquet files.
        out: the output folder. It is new, empty, or the output of an earlier call.
        engine: `auto`, `onnxruntime` or `openvino`.
        device: `cpu`, `cuda`, `tensorrt`, `gpu`, `npu` or `auto`.
        precision: precision of float operators.
        threads: threads of one run; None for the profile's number, or else the usable cores.
        ray: address of a Ray cluster, `HOST:PORT` or `auto`, whose nodes compute the shards; None for this process.
        min_actors: smallest number of Ray actors, 1 by default. Each has a classifier with `threads` cores.
        max_actors: largest number of Ray actors; None for as many as the cluster's cores allow. Both need `ray`.
        progress: called after each batch.
        options: fields of `BatchOptions`, such as `format="jsonl"`.

    Returns:
        The number of images, errors and shards, and the throughput.

    Raises:
        BundleError: the bundle is not intact.
        SourceError: the source does not exist, is empty, contains a name twice, or vanished.
        UsageError: an option is invalid, or the output folder belongs to another job.
        ProofFailed: the bundle's self-test does not pass on this machine.
        EngineError: the engine failed.
        MissingExtra: pyarrow or Ray is not installed.
        EdgecnnError: writing failed, another process runs a job in the folder, or the cluster does not answer.
    """
    from edgecnn.batch.options import BatchOptions
    from edgecnn.batch.running import run_job
    from edgecnn.runtime.classifier import resolve

    _check_cluster(ray, device, min_actors, max_actors)
    check_names(options, names_of(BatchOptions))
    try:
        chosen = BatchOptions(**options)
    except ValueError as error:
        raise UsageError(str(error)) from None
    several = list(map(str, [sources] if isinstance(sources, str | Path) else sources))
    run = partial(
        run_job,
        resolve(bundle, "throughput"),
        several,
        Path(out),
        options=chosen,
        engine=engine,
        session=SessionOptions(device, precision, threads),
        progress=progress,
    )
    if ray is None:
        return run()
    from edgecnn.ray.cluster import connected
    from edgecnn.ray.jobs import on_cluster

    with connected(ray):
        return run(compute=on_cluster(several, chosen.column, min_actors=min_actors or 1, max_actors=max_actors))


def _check_cluster(ray: str | None, device: str, min_actors: int | None, max_actors: int | None) -> None:
    """Check that the options of a cluster fit together.

    Raises:
        UsageError: they do not.
    """
    for name, value in (("min_actors", min_actors), ("max_actors", max_actors)):
        if value is not None and ray is None:
            raise UsageError(f"{name} requires the address of a Ray cluster (ray), which is missing")
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, found {value}")
    if min_actors is not None and max_actors is not None and min_actors > max_actors:
        raise UsageError(f"min_actors {min_actors} is above max_actors {max_actors}: choose a smaller number")
    if ray is not None and device != "cpu":
        raise UsageError(f"a Ray cluster runs jobs on its CPUs, found the device {device}: leave it out")
