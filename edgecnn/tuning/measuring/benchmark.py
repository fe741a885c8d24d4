"""Measures latency, throughput and memory of bundles under several settings, in interleaved turns."""

import contextlib
import itertools
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgecnn.bundle.manifest import DataReference, utc_now
from edgecnn.bundle.store import Bundle
from edgecnn.files.schema import ADDED
from edgecnn.host.resources import memory_limit
from edgecnn.progress import Progress, silent
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.site import Site, this_site
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.contention import held_up_s, processor_times
from edgecnn.tuning.measuring.estimates import Speed, medians_ms, speed
from edgecnn.tuning.measuring.given_images import GivenImages, ImageFiles
from edgecnn.tuning.measuring.limits import BandwidthOf, Limits, PeakOf
from edgecnn.tuning.measuring.turn import Turn, interleave, settle
from edgecnn.tuning.measuring.worker import Memory

ROUNDS = 12
TURN_S = 0.25
_TRIES = 3
"""All rounds are at most this many times the wanted undisturbed ones."""
_MEMORY_SHARE = 0.7
_EXPONENTIALS = 65_536  # 256 KB, which stay in the cache


@dataclass(frozen=True)
class Measured:
    """The result of one bundle under one setting.

    Attributes:
        bundle: name of the bundle.
        digest: digest of the bundle.
        model_precision: precision of the bundle, see `Manifest.precision`.
        setting: the setting.
        version: version of the engine.
        warm_up_runs: number of warm-up runs.
        steady: whether the times of the last warm-up runs showed no trend.
        open_s: seconds for reading, checking and opening the bundle.
        resident_bytes: memory of the whole process.
        speed: times and throughput.
        peak_share: operations per second, as a fraction of this machine's measured peak in that precision; None if
            either is unknown.
        notes: warnings of the session.
        memory_share: bytes of weights read per second, as a fraction of this machine's measured read bandwidth; None if
            either is unknown, or if the weights stay in a core's caches.
        huge_page_bytes: the part of the memory on huge pages; None if the system does not report it.
        proven_again: share of the images that ran again when the proof of a cascade was made; None without one.
    """

    bundle: str
    digest: str
    model_precision: str
    setting: Setting
    version: str
    warm_up_runs: int
    steady: bool
    open_s: float
    resident_bytes: int
    speed: Speed
    peak_share: float | None
    notes: tuple[str, ...]
    memory_share: float | None = field(default=None, metadata=ADDED)
    huge_page_bytes: int | None = field(default=None, metadata=ADDED)
    proven_again: float | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True)
class Failed:
    """A setting under which a bundle does not run here, and the reason."""

    bundle: str
    setting: Setting
    reason: str


@dataclass(frozen=True)
class Benchmark:
    """The result of a benchmark.

    Attributes:
        site: hardware and engine versions.
        measured_at: UTC time, ISO 8601.
        yardstick_ms: time of the yardstick in each round that counts; the yardstick is a fixed computation without an
            engine.
        peaks: measured peaks in operations per second, by precision and number of threads.
        results: results in the order of the candidates.
        failed: settings that did not run.
        is_busy: whether other work disturbed too many rounds. All rounds count then, else only the undisturbed ones.
        data: the images of the runs; None for those of the self-tests.
        bandwidths: measured read bandwidths in bytes per second, by size of the weights and number of threads.
    """

    site: Site
    measured_at: str
    yardstick_ms: tuple[float, ...]
    peaks: dict[str, float]
    results: tuple[Measured, ...]
    failed: tuple[Failed, ...]
    is_busy: bool = False
    data: DataReference | None = field(default=None, metadata=ADDED)
    bandwidths: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rounds = [self.yardstick_ms, *(each.speed.turns_ms for each in self.results)]
        if any(len(times) != len(self.yardstick_ms) or not times or min(times) <= 0 for times in rounds):
            raise ValueError("each result and the yardstick must have one positive time per round")


class _Yardstick:
    """A `Runner` that computes exponentials in NumPy, which measures the machine's current speed.

    It uses no engine: other load and the clock rate change its time, and an engine upgrade does not. It runs on one
    core, because threads that wait for each other take up to twenty times as long if another process uses one of the
    cores.
    """

    def __init__(self) -> None:
        self._numbers = np.random.default_rng(0).random(_EXPONENTIALS, np.float32)
        self._result = np.empty_like(self._numbers)

    def turn(self, seconds: float) -> Turn:
        """See `Runner`."""
        times: list[float] = []
        before, begin = processor_times(), time.perf_counter()
        while not times or time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            np.exp(self._numbers, out=self._result)
            times.append((time.perf_counter() - start) * 1e3)
        elapsed, after = time.perf_counter() - begin, processor_times()
        return Turn(tuple(times), len(times), elapsed, after.own_s - before.own_s, held_up_s(before, after))


def settings(
    engines: Iterable[str],
    *,
    precisions: Iterable[str] = ("fp32",),
    threads: Iterable[int],
    instances: Iterable[int] = (1,),
    batches: Iterable[int] = (1,),
) -> list[Setting]:
    """Return all combinations."""
    combinations = itertools.product(engines, precisions, threads, instances, batches)
    return [
        Setting(engine, precision=precision, threads=count, instances=runs, batch=batch)  # type: ignore[arg-type]
        for engine, precision, count, runs, batch in combinations
    ]


def benchmark(
    bundles: Sequence[Bundle],
    candidates: Sequence[Setting],
    *,
    images: GivenImages | None = None,
    rounds: int = ROUNDS,
    turn_s: float = TURN_S,
    modules: Mapping[str, str] | None = None,
    peak: PeakOf | None = None,
    bandwidth: BandwidthOf | None = None,
    progress: Progress = silent,
) -> Benchmark:
    """Measure every bundle under every setting in a separate process, in turns of `turn_s` seconds.

    Rounds that other work disturbs are measured again, at most three times as many as wanted. Batches of `images` run
    in turns; without them, the images of the self-test. `modules` maps an engine that is not an engine to the module
    that runs it. `peak` returns this machine's peak for a precision and a number of threads, `bandwidth` its read
    bandwidth.
    """
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(ImageFiles(images))
        entered = [
            Candidate(bundle, setting, images=files.of(bundle), modules=modules)
            for bundle, setting in itertools.product(bundles, candidates)
        ]
        limits = Limits(peak, bandwidth)
        limits.measure(entered)
        room = _MEMORY_SHARE * (memory_limit() or math.inf)
        for number, candidate in enumerate(entered):
            progress("opening", number, len(entered), str(candidate))
            if room <= 0:
                candidate.failure = "not measured: not enough memory; name fewer bundles or settings"
            elif stack.enter_context(candidate).open():
                room -= candidate.memory().resident_bytes
        progress("opening", len(entered), len(entered))
        running = [candidate for candidate in entered if candidate.failure is None]
        taken = interleave(
            [*running, _Yardstick()], rounds=rounds, most=_TRIES * rounds, seconds=turn_s, progress=progress
        )
        memory = [candidate.memory() for candidate in running]
    settled = settle(taken, rounds)
    *turns, yardstick = settled.turns
    limits.measure(running)
    results = tuple(
        _measured(candidate, took, held, limits)
        for candidate, took, held in zip(running, turns, memory, strict=True)
        if candidate.failure is None
    )
    failed = tuple(Failed(c.bundle.manifest.name, c.setting, c.failure) for c in entered if c.failure is not None)
    return Benchmark(
        site=this_site(),
        measured_at=utc_now(),
        yardstick_ms=medians_ms(yardstick),
        peaks=limits.peaks,
        results=results,
        failed=failed,
        is_busy=settled.is_busy,
        data=None if images is None else images.data,
        bandwidths=limits.bandwidths,
    )


def _measured(candidate: Candidate, turns: Sequence[Turn], held: Memory, limits: Limits) -> Measured:
    manifest, info, warmed = candidate.bundle.manifest, candidate.session, candidate.warmed
    assert info is not None
    assert warmed is not None
    found = speed(turns)
    proof = None if found.run_again is None else candidate.bundle.proof().cascade
    images_per_s = found.images_per_s.value
    return Measured(
        bundle=manifest.name,
        digest=candidate.bundle.digest,
        model_precision=manifest.precision,
        setting=candidate.setting,
        version=info.version,
        warm_up_runs=warmed.runs,
        steady=warmed.steady,
        open_s=candidate.open_s,
        resident_bytes=held.resident_bytes,
        speed=found,
        peak_share=limits.peak_share(candidate, images_per_s),
        notes=candidate.notes,
        memory_share=limits.memory_share(candidate, images_per_s),
        huge_page_bytes=held.huge_page_bytes,
        proven_again=None if proof is None else proof.share,
    )
