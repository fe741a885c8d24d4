"""`edgecnn.benchmark` and `edgecnn.tune`: measure bundles on this machine."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.errors import UsageError
from edgecnn.host.resources import usable_cores
from edgecnn.progress import Progress, silent
from edgecnn.runtime.setting import Setting
from edgecnn.stages.opening import BundleLike, open_all, open_one
from edgecnn.tuning.benchmark import Benchmarked, check_installed
from edgecnn.tuning.benchmark import benchmark as run_benchmark
from edgecnn.tuning.measuring.benchmark import ROUNDS, TURN_S
from edgecnn.tuning.measuring.given_images import GivenImages
from edgecnn.tuning.sustained import Sustained
from edgecnn.tuning.sustained import sustain as run_sustained
from edgecnn.tuning.tune import BUDGET_S, MAX_DROP
from edgecnn.tuning.tune import tune as run_tune

if TYPE_CHECKING:
    from edgecnn.runtime.engines.engine import Precision
    from edgecnn.runtime.profile import Purpose
    from edgecnn.tuning.conclusion import Tuned


def benchmark(
    bundles: BundleLike | Iterable[BundleLike],
    *,
    data: str | Path | None = None,
    images: int | None = None,
    seed: int | None = None,
    engines: Sequence[str] = (),
    precisions: "Iterable[Precision]" = ("fp32",),
    threads: Iterable[int] = (),
    instances: Iterable[int] = (1,),
    batches: Iterable[int] = (1,),
    rounds: int = ROUNDS,
    turn_s: float = TURN_S,
    earlier: str | Path | None = None,
    progress: Progress = silent,
) -> Benchmarked:
    """Measure latency, throughput and memory of bundles under every combination of settings.

    Args:
        bundles: bundles, their folders, or folders of bundles.
        data: a data source's name, an image folder, or images without classes. A cascade requires it, because its cost
            depends on the images. Other bundles run their self-test's images without it.
        images: number of images, chosen at random from the test split, or from all images without classes; None for
            500, or fewer if there are not as many. They run in turns.
        seed: determines the choice; None for 0.
        engines: `onnxruntime`, `openvino` or `pytorch`; empty for all that are installed.
        precisions: precisions of float operators.
        threads: threads of one run; empty for the usable cores.
        instances: runs at the same time.
        batches: images of one run.
        rounds: turns of each candidate.
        turn_s: seconds of one turn.
        earlier: file of an earlier benchmark to compare with, written by `edgecnn benchmark --json`.
        progress: called after each step.

    Returns:
        The results. Call `raise_for_failures` to get an exception if a bundle is slower than before.

    Raises:
        BundleError: a path is not an intact bundle.
        SourceError: the data is unknown, or an image cannot be read.
        UsageError: an engine is unknown or not installed, or a cascade is measured without `data`.
    """
    from edgecnn.pipeline.measured import reference_modules

    return run_benchmark(
        open_all(bundles),
        images=_chosen(data, images, seed),
        engines=engines,
        precisions=precisions,
        threads=threads,
        instances=instances,
        batches=batches,
        rounds=rounds,
        turn_s=turn_s,
        earlier=None if earlier is None else Path(earlier),
        modules=reference_modules(),
        progress=progress,
    )


def sustain(
    bundle: BundleLike,
    *,
    minutes: float,
    engine: str,
    data: str | Path | None = None,
    images: int | None = None,
    seed: int | None = None,
    precision: "Precision" = "fp32",
    threads: int | None = None,
    instances: int = 1,
    batch: int = 1,
    progress: Progress = silent,
) -> Sustained:
    """Run a bundle for some minutes, and report clock, temperature, throttling and the steady-state latency.

    Args:
        bundle: a bundle or its folder.
        minutes: how long to run, from 0.1 to 1,440. Ctrl-C ends it early, with the result so far.
        engine: `onnxruntime`, `openvino` or `pytorch`.
        data: images to run; see `benchmark`.
        images: number of images; see `benchmark`.
        seed: determines the choice; see `benchmark`.
        precision: precision of float operators.
        threads: threads of one run; None for the usable cores.
        instances: runs at the same time.
        batch: images of one run.
        progress: called after each second.

    Raises:
        BundleError: the folder is not an intact bundle.
        SourceError: the data is unknown, or an image cannot be read.
        UsageError: the minutes or the engine are invalid, or a cascade is measured without `data`.
        EngineError: the engine rejected the bundle or the setting, or crashed.
    """
    from edgecnn.pipeline.measured import reference_modules

    modules = reference_modules()
    check_installed(engine, modules)
    cores = usable_cores() if threads is None else threads
    setting = Setting(engine, precision=precision, threads=cores, instances=instances, batch=batch)
    return run_sustained(
        open_one(bundle),
        setting,
        minutes=minutes,
        images=_chosen(data, images, seed),
        modules=modules,
        progress=progress,
    )


def tune(
    bundles: BundleLike | Iterable[BundleLike],
    *,
    data: str | Path | None = None,
    images: int | None = None,
    seed: int | None = None,
    purpose: "Purpose" = "latency",
    max_drop: float = MAX_DROP,
    budget_s: float = BUDGET_S,
    progress: Progress = silent,
) -> "Tuned":
    """Find the fastest bundle, engine and setting on this machine within a limit of the drop.

    Args:
        bundles: bundles of one reference, their folders, or folders of bundles.
        data: images to measure on; see `benchmark`. Cascades take part only with it.
        images: number of images; see `benchmark`.
        seed: determines the choice; see `benchmark`.
        purpose: `latency` of one image, or `throughput` of many.
        max_drop: largest allowed drop in a bundle's proof, in percentage points.
        budget_s: approximate time limit in seconds.
        progress: called after each step.

    Returns:
        The profile, which is not saved yet: call `keep` to make it the setting of `engine="auto"` on this machine.

    Raises:
        BundleError: a path is not an intact bundle.
        SourceError: the data is unknown, or an image cannot be read.
        UsageError: the bundles come from several references, or all are cascades and `data` is missing.
        EngineError: no setting runs here with the required accuracy.
    """
    from edgecnn.pipeline.measured import reference_modules

    return run_tune(
        open_all(bundles),
        images=_chosen(data, images, seed),
        purpose=purpose,
        max_drop=max_drop,
        budget_s=budget_s,
        modules=reference_modules(),
        progress=progress,
    )


def _chosen(data: str | Path | None, images: int | None, seed: int | None) -> GivenImages | None:
    """Return the chosen images of a data source; None without one.

    Raises:
        UsageError: the number of images or the seed is given without a data source.
        SourceError: see `sample`.
    """
    if data is None:
        if (images, seed) != (None, None):
            raise UsageError("--images and --seed choose images of --data, which is missing: add --data SOURCE")
        return None
    from edgecnn.pipeline.sampling import COUNT, sample

    return sample(str(data), COUNT if images is None else images, seed or 0)
