"""The content of a comparison of networks: accuracy, cost, speed, training curves, and the Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.evaluation.metrics import ClassificationMetrics
from edgecnn.pipeline.inspection.layers import Inspection
from edgecnn.pipeline.reporting.texts import size_text
from edgecnn.pipeline.training.checkpoint import CheckpointRecord
from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.measuring.benchmark import Benchmark


@dataclass(frozen=True)
class Failure:
    """A step of a network that failed: `train`, `export`, `fp32`, `int8` or `fp16`, and the reason."""

    network: str
    step: str
    reason: str

    def __str__(self) -> str:
        return f"{self.network} ({self.step}): {self.reason}"


@dataclass(frozen=True)
class Variant:
    """A bundle of a network, and its accuracy on the whole test split.

    Attributes:
        network: the network, as the user named it.
        precision: `fp32`, `int8` or `fp16`.
        bundle: the bundle.
        inspection: its layers.
        metrics: its metrics.
    """

    network: str
    precision: str
    bundle: Bundle
    inspection: Inspection
    metrics: ClassificationMetrics


@dataclass(frozen=True)
class TrainedNetwork:
    """A network: the record of its training, and its bundles, in the order of the precisions."""

    name: str
    record: CheckpointRecord
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Candidate:
    """A variant on an engine.

    Attributes:
        variant: the bundle.
        engine: name of the engine.
        p50_ms: median time of one image.
        on_front: whether no other candidate is at least as accurate and at least as fast, and better in one of both.
    """

    variant: Variant
    engine: str
    p50_ms: Estimate
    on_front: bool


@dataclass(frozen=True)
class NetworksContent:
    """The content of a comparison.

    Attributes:
        data: the test images.
        networks: the networks that were trained.
        failures: the steps that failed.
        benchmark: the speed of the bundles, measured in turns.
        candidates: each bundle on each engine that ran it, the fastest first.
        command: the command that makes this comparison.
        created: UTC time, ISO 8601.
        version: version of edgecnn.
    """

    data: DataReference
    networks: tuple[TrainedNetwork, ...]
    failures: tuple[Failure, ...]
    benchmark: Benchmark
    candidates: tuple[Candidate, ...]
    command: str
    created: str
    version: str

    def _repr_html_(self) -> str:
        """Return the table of the comparison, and the failures, for notebooks."""
        from edgecnn.html_table import table

        header, *rows = self.rows(on_front="{} (Pareto front)")
        html = table("Comparison of networks", rows, header=header, right=range(2, len(header)))
        failures = [(each.network, each.step, each.reason) for each in self.failures]
        return html + (table("Failures", failures, header=("network", "step", "reason")) if failures else "")

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All bundles."""
        return tuple(each for network in self.networks for each in network.variants)

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that ran, each once."""
        return tuple(dict.fromkeys(sorted(each.engine for each in self.candidates)))

    def rows(self, *, on_front: str) -> list[tuple[str, ...]]:
        """Return the columns' names, and the texts of a row for each bundle.

        Args:
            on_front: format of the times on the Pareto front, with `{}` for the time.
        """
        times = (f"{each}, ms" for each in self.engines)
        header = ("network", "precision", "top-1", "parameters", "MACs", "size", *times)
        return [header, *(self._row(each, on_front) for each in self.variants)]

    def _row(self, variant: Variant, on_front: str) -> tuple[str, ...]:
        times = []
        for engine in self.engines:
            found = self.speed_of(variant, engine)
            text = "" if found is None else str(found.p50_ms)
            times.append(on_front.format(text) if found is not None and found.on_front else text)
        return (
            variant.network,
            variant.precision.upper(),
            str(variant.metrics.top1),
            f"{variant.inspection.parameters:,}",
            f"{variant.inspection.macs:,}",
            size_text(variant.bundle.size_bytes),
            *times,
        )

    def speed_of(self, variant: Variant, engine: str) -> Candidate | None:
        """Return a variant on an engine; None if it did not run."""
        return next((each for each in self.candidates if (each.variant, each.engine) == (variant, engine)), None)


def candidates_of(variants: Sequence[Variant], benchmark: Benchmark) -> tuple[Candidate, ...]:
    """Return each variant on each engine that ran it, the fastest first, with the Pareto front marked."""
    by_digest = {variant.bundle.digest: variant for variant in variants}
    measured = sorted(benchmark.results, key=lambda each: each.speed.p50_ms.value)
    points = [(each.speed.p50_ms.value, by_digest[each.digest].metrics.top1.value or 0.0, each) for each in measured]
    front = pareto_front([(cost, gain) for cost, gain, _ in points])
    return tuple(
        Candidate(by_digest[each.digest], each.setting.engine, each.speed.p50_ms, is_on)
        for (_, _, each), is_on in zip(points, front, strict=True)
    )


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each point (cost, gain) whether it is on the Pareto front.

    A point is on the front if no other point has at most its cost and at least its gain, and is better in one of both.
    """
    return [
        not any(cost <= own_cost and gain >= own_gain and (cost, gain) != (own_cost, own_gain) for cost, gain in points)
        for own_cost, own_gain in points
    ]
