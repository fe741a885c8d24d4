"""What tuning tries: every bundle on every engine, over the ways to share the cores."""

from collections.abc import Sequence

from edgecnn.bundle.store import Bundle
from edgecnn.runtime.profile import Purpose
from edgecnn.runtime.setting import Setting

BATCHES = (1, 8)
"""For throughput: more than eight images gain nothing on a CPU, and wait for each other."""


def search_space(
    bundles: Sequence[Bundle], engines: Sequence[str], *, cores: int, purpose: Purpose
) -> list[tuple[Bundle, Setting]]:
    """List the candidates, the most promising first: where time is short the end is left out.

    For latency one image at a time, on one thread, on all cores, and on the powers of two between. For throughput the
    cores are shared between streams in the same steps.
    """
    order = sorted(bundles, key=lambda bundle: bundle.manifest.precision != "int8")
    return [(bundle, setting) for setting in _settings(engines, cores, purpose) for bundle in order]


def _settings(engines: Sequence[str], cores: int, purpose: Purpose) -> list[Setting]:
    if purpose == "latency":
        return [Setting(engine, threads=threads) for threads in _steps(cores) for engine in engines]
    return [
        Setting(engine, threads=max(1, cores // streams), streams=streams, batch=batch)
        for streams in _steps(cores)
        for batch in BATCHES
        for engine in engines
    ]


def _steps(cores: int) -> list[int]:
    """Return all cores, then one, then the powers of two between."""
    between = [1 << power for power in range(1, cores.bit_length()) if 1 < 1 << power < cores]
    return list(dict.fromkeys([cores, 1, *reversed(between)]))
