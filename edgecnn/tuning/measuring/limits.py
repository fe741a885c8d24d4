"""The limits of this machine that a benchmark compares speeds with: its peak of arithmetic, and its read bandwidth.

A run is bound by the limit of which it reaches the larger share (Williams, Waterman and Patterson, Roofline,
Communications of the ACM 52(4), 2009).
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from edgecnn.host.bandwidth import LEAST_BYTES, Reads
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.choices import PYTORCH
from edgecnn.runtime.engines.engine import device_kind
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.peak import PeakPrecision

PeakOf = Callable[[PeakPrecision, int], float | None]
BandwidthOf = Callable[[Reads], float | None]

_Key = TypeVar("_Key")


class Limits:
    """The limits for candidates. Measure them before and after the candidates: disturbances only make them lower."""

    def __init__(self, peak: PeakOf | None, bandwidth: BandwidthOf | None) -> None:
        """Store how to measure a limit: a function that returns None if it fails, or None to leave the limit out."""
        self._peak = peak
        self._bandwidth = bandwidth
        self._peaks: dict[tuple[PeakPrecision, int], float] = {}
        self._bandwidths: dict[Reads, float] = {}

    def measure(self, candidates: Iterable[Candidate]) -> None:
        """Measure the limits of the candidates, and keep the higher one of each."""
        candidates = list(candidates)
        if (peak := self._peak) is not None:
            _keep_higher(self._peaks, map(_peak_key, candidates), lambda key: peak(*key))
        if self._bandwidth is not None:
            _keep_higher(self._bandwidths, map(_reads, candidates), self._bandwidth)

    @property
    def peaks(self) -> dict[str, float]:
        """The peaks in operations per second, by precision and number of threads."""
        return {f"{precision}, {_threads(count)}": value for (precision, count), value in self._peaks.items()}

    @property
    def bandwidths(self) -> dict[str, float]:
        """The read bandwidths in bytes per second, by size of the weights and number of threads."""
        found = self._bandwidths.items()
        return {f"{reads.size_bytes / 1e6:.0f} MB, {_threads(reads.threads)}": value for reads, value in found}

    def peak_share(self, candidate: Candidate, images_per_s: float) -> float | None:
        """Return a candidate's operations per second as a fraction of the peak; None if either is unknown."""
        key, macs = _peak_key(candidate), candidate.bundle.manifest.macs
        peak = None if key is None else self._peaks.get(key)
        return 2 * macs * images_per_s / peak if macs and peak else None

    def memory_share(self, candidate: Candidate, images_per_s: float) -> float | None:
        """Return the bytes of weights that a candidate reads per second as a fraction of the read bandwidth.

        Each run of a batch reads all weights. None if either is unknown, or if the weights stay in a core's caches.
        """
        reads = _reads(candidate)
        bandwidth = None if reads is None else self._bandwidths.get(reads)
        if reads is None or not bandwidth:
            return None
        return reads.size_bytes * images_per_s / candidate.setting.batch / bandwidth


def _keep_higher(
    known: dict[_Key, float], keys: Iterable[_Key | None], measure: Callable[[_Key], float | None]
) -> None:
    for key in dict.fromkeys(keys):
        value = None if key is None else measure(key)
        if key is not None and value is not None:
            known[key] = max(value, known.get(key, 0.0))


def _peak_key(candidate: Candidate) -> tuple[PeakPrecision, int] | None:
    """Return the precision and threads of the peak to compare a candidate with; None if none applies."""
    setting, manifest = candidate.setting, candidate.bundle.manifest
    if manifest.macs is None or device_kind(setting.device) != "cpu":
        return None
    if manifest.precision == "int8" and setting.engine != PYTORCH:
        return "int8", _cores(candidate)
    return ("bf16" if setting.precision == "bf16" else "fp32"), _cores(candidate)


def _reads(candidate: Candidate) -> Reads | None:
    """Return the threads and the bytes of weights of a candidate; None if the bytes in memory are unknown.

    The graph's file is hardly larger than its weights. Engines may widen FP16 weights, and narrow FP32 weights for
    another precision of float operators; the graphs of a cascade run a different number of times.
    """
    setting, manifest = candidate.setting, candidate.bundle.manifest
    is_known = manifest.precision == "fp32" if setting.engine == PYTORCH else manifest.precision in ("fp32", "int8")
    if not is_known or setting.precision != "fp32" or device_kind(setting.device) != "cpu":
        return None
    size_bytes = manifest.files[manifest.graph.file].size_bytes
    return Reads(_cores(candidate), size_bytes) if size_bytes >= LEAST_BYTES else None


def _cores(candidate: Candidate) -> int:
    return min(candidate.setting.threads * candidate.setting.instances, usable_cores())


def _threads(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"
