"""The results of `compare.py` as data, and their page."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.common.tables import interval, named, ratio, table
from edgecnn.runtime.engines.engine import Precision
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.estimates import HIGH, LOW, RESAMPLES

EAGER, OURS = "PyTorch eager", "edgecnn"
NORMALIZING = "torchvision's normalising"
"""Not a candidate: the step that the peers' users run before each inference."""


@dataclass(frozen=True)
class Way:
    """One candidate.

    Attributes:
        name: of the tool and the file.
        precision: of float operators.
        threads: of a run; 0 if the tool does not report its default.
        p50_ms: median time of one image.
        p99_ms: 99th percentile.
        turns_ms: median of each process.
        steady: whether the times showed no trend at the end of warm-up.
        open_s: time for opening; for torch.compile with code from an earlier process.
        resident_mb: memory of the process.
    """

    name: str
    precision: Precision
    threads: int
    p50_ms: Estimate
    p99_ms: Estimate
    turns_ms: tuple[float, ...]
    steady: bool
    open_s: float
    resident_mb: float


@dataclass(frozen=True)
class Result:
    """One network.

    Attributes:
        network: its name.
        processor: name and instruction sets.
        measured_at: UTC time, ISO 8601.
        versions: of every tool.
        macs: multiply-accumulates of one image.
        peak_ops_per_s: highest measured INT8 throughput, with two operations per multiply-accumulate.
        bundle: precision of the bundle that tuning chose.
        setting: that tuning chose.
        conclusion: of tuning.
        ways: edgecnn first, the peers' normalisation last.
        failed: candidates that do not run here, with the reason.
        best_peer: the fastest peer.
        over_best_peer: its time divided by edgecnn's, in the same rounds.
        over_best_peer_from_pixels: its time plus normalisation, divided by edgecnn's.
        over_eager: PyTorch's time divided by edgecnn's.
        peak_share: edgecnn's throughput as a fraction of the peak.
    """

    network: str
    processor: str
    measured_at: str
    versions: dict[str, str]
    macs: int
    peak_ops_per_s: float
    bundle: str
    setting: Setting
    conclusion: str
    ways: tuple[Way, ...]
    failed: dict[str, str]
    best_peer: str
    over_best_peer: Estimate
    over_best_peer_from_pixels: Estimate
    over_eager: Estimate
    peak_share: float

    def way(self, name: str) -> Way | None:
        """Return a candidate by its name; None if it does not run."""
        return next((way for way in self.ways if way.name == name), None)

    def turns_ms(self, name: str) -> np.ndarray:
        """Return the median time of each process of a candidate."""
        way = self.way(name)
        assert way is not None
        return np.array(way.turns_ms)

    def quotients(self, slow: str, fast: str) -> np.ndarray:
        """Return the ratio of two candidates' times in processes that took turns."""
        found: np.ndarray = self.turns_ms(slow) / self.turns_ms(fast)
        return found

    def quotients_from_pixels(self) -> np.ndarray:
        """Return the ratio of the best peer's time with normalisation to edgecnn's."""
        found: np.ndarray = (self.turns_ms(self.best_peer) + self.turns_ms(NORMALIZING)) / self.turns_ms(OURS)
        return found


@dataclass(frozen=True)
class Results:
    """All measured networks, and their geometric means."""

    networks: tuple[Result, ...]
    over_best_peer: Estimate
    over_best_peer_from_pixels: Estimate
    over_eager: Estimate
    best_peer_over_eager: Estimate


def summary(networks: Iterable[Result]) -> Results:
    """Combine the results of all networks."""
    found = tuple(networks)
    return Results(
        networks=found,
        over_best_peer=geometric_mean([each.quotients(each.best_peer, OURS) for each in found]),
        over_best_peer_from_pixels=geometric_mean([each.quotients_from_pixels() for each in found]),
        over_eager=geometric_mean([each.quotients(EAGER, OURS) for each in found]),
        best_peer_over_eager=geometric_mean([each.quotients(EAGER, each.best_peer) for each in found]),
    )


def geometric_mean(quotients: Sequence[np.ndarray]) -> Estimate:
    """Estimate the geometric mean of several medians, with a 95 % interval.

    Args:
        quotients: one figure per round for each network; each network's rounds are resampled separately.
    """
    random = np.random.default_rng(0)

    def mean(choose: Callable[[np.ndarray], np.ndarray]) -> float:
        return float(np.exp(np.mean([np.log(np.median(choose(each))) for each in quotients])))

    resampled = [mean(lambda values: random.choice(values, len(values))) for _ in range(RESAMPLES)]
    low, high = np.percentile(resampled, [LOW, HIGH])
    return Estimate(mean(lambda values: values), float(low), float(high))


def page(results: Results, *, title: str) -> str:
    """Write the tables, including the losses."""
    parts = [
        title,
        "## Milliseconds per image\n\n" + _times(results),
        "## Ratios\n\n" + _ratios(results),
        "## Tuned settings\n\n" + _choices(results),
        "## All candidates\n\n" + _details(results),
        "## Machine\n\n" + "\n".join(_where(each) for each in results.networks),
    ]
    return "\n\n".join(parts) + "\n"


def _times(results: Results) -> str:
    names = list(dict.fromkeys(name for each in results.networks for name in (*_names(each), *each.failed)))
    rows = []
    for each in results.networks:
        peers = [_cell(each.way(name), is_best=name == each.best_peer) for name in names if name != OURS]
        ours = each.way(OURS)
        assert ours is not None
        rows.append([each.network, *peers, f"**{_ms(ours.p50_ms.value)}** {each.bundle.upper()}, {each.setting}"])
    note = "\n\nThe best peer is in italics. — means that it does not run; see below."
    return table(["network", *(name for name in names if name != OURS), OURS], rows) + note


def _names(result: Result) -> list[str]:
    return [way.name for way in result.ways]


def _cell(way: Way | None, *, is_best: bool) -> str:
    if way is None:
        return "—"
    precision = "" if way.precision == "fp32" else f" ({way.precision})"
    return f"*{_ms(way.p50_ms.value)}*{precision}" if is_best else _ms(way.p50_ms.value) + precision


def _ratios(results: Results) -> str:
    rows = [
        [
            each.network,
            each.best_peer,
            _ratio(each.over_best_peer),
            _ratio(each.over_best_peer_from_pixels),
            _ratio(each.over_eager),
            f"{each.peak_share:.1%} of {each.peak_ops_per_s / 1e9:.0f} GOP/s",
        ]
        for each in results.networks
    ]
    mean = ["geometric mean", f"{results.best_peer_over_eager.value:.2f} × as fast as PyTorch eager"]
    means = (results.over_best_peer, results.over_best_peer_from_pixels, results.over_eager)
    rows.append([*mean, *(_ratio(each) for each in means), ""])
    header = [
        "network",
        "best peer",
        "best peer / edgecnn",
        "the same from pixels",
        "PyTorch eager / edgecnn",
        "INT8 peak",
    ]
    return table(header, rows)


def _choices(results: Results) -> str:
    rows = [[each.network, each.bundle.upper(), str(each.setting), each.conclusion] for each in results.networks]
    return table(["network", "bundle", "setting", "conclusion"], rows)


def _details(results: Results) -> str:
    rows = []
    for each in results.networks:
        for way in each.ways:
            rows.append(
                [
                    each.network,
                    way.name,
                    way.precision,
                    str(way.threads or "default"),
                    interval(**asdict(way.p50_ms), show=_ms),
                    _ms(way.p99_ms.value),
                    f"{way.resident_mb:.0f}",
                    "yes" if way.steady else "no",
                ]
            )
        rows += [[each.network, name, reason, "", "", "", "", ""] for name, reason in each.failed.items()]
    header = ["network", "way", "float operators", "threads", "median, ms", "99th, ms", "memory, MB", "steady"]
    return table(header, rows)


def _where(result: Result) -> str:
    return f"- {result.network}: {result.measured_at}, {result.processor}; {named(result.versions)}"


def _ms(value: float) -> str:
    """Format milliseconds with three significant digits."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _ratio(estimate: Estimate) -> str:
    return ratio(**asdict(estimate))
