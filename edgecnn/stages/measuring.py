"""`edgecnn.benchmark` and `edgecnn.tune`: measure bundles on this machine."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.progress import Progress, silent
from edgecnn.stages.opening import BundleLike, open_all
from edgecnn.tuning.benchmark import Benchmarked
from edgecnn.tuning.benchmark import benchmark as run_benchmark
from edgecnn.tuning.measuring.benchmark import ROUNDS, TURN_S
from edgecnn.tuning.tune import BUDGET_S, MAX_DROP
from edgecnn.tuning.tune import tune as run_tune

if TYPE_CHECKING:
    from edgecnn.runtime.engines.engine import Precision
    from edgecnn.runtime.profile import Purpose
    from edgecnn.tuning.conclusion import Tuned


def benchmark(
    bundles: BundleLike | Iterable[BundleLike],
    *,
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
        UsageError: an engine is unknown or not installed.
    """
    from edgecnn.pipeline.measured import reference_modules

    return run_benchmark(
        open_all(bundles),
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


def tune(
    bundles: BundleLike | Iterable[BundleLike],
    *,
    purpose: "Purpose" = "latency",
    max_drop: float = MAX_DROP,
    budget_s: float = BUDGET_S,
    progress: Progress = silent,
) -> "Tuned":
    """Find the fastest bundle, engine and setting on this machine within a limit of the drop.

    Args:
        bundles: bundles of one reference, their folders, or folders of bundles.
        purpose: `latency` of one image, or `throughput` of many.
        max_drop: largest allowed drop in a bundle's proof, in percentage points.
        budget_s: approximate time limit in seconds.
        progress: called after each step.

    Returns:
        The profile, which is not saved yet: call `keep` to make it the setting of `engine="auto"` on this machine.

    Raises:
        BundleError: a path is not an intact bundle.
        UsageError: the bundles come from several references.
        EngineError: no setting runs here with the required accuracy.
    """
    from edgecnn.pipeline.measured import reference_modules

    return run_tune(
        open_all(bundles),
        purpose=purpose,
        max_drop=max_drop,
        budget_s=budget_s,
        modules=reference_modules(),
        progress=progress,
    )
