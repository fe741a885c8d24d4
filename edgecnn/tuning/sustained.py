"""Runs one bundle for minutes, and shows how clock, temperature and latency change: small boards slow down when hot."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from edgecnn.bundle.manifest import DataReference, utc_now
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.host.throttling import ProcessorState, processor_state
from edgecnn.progress import Progress, silent
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.site import Site, this_site
from edgecnn.tuning.measuring.estimates import cost_ms, ratio
from edgecnn.tuning.measuring.given_images import GivenImages, ImageFiles, check_given
from edgecnn.tuning.measuring.process import MeasuringProcess
from edgecnn.tuning.measuring.turn import Turn, is_disturbed

TURN_S = 1.0
LEAST_MINUTES, MOST_MINUTES = 0.1, 24 * 60.0
_WARM_UP_S = 0.5
"""Enough to pack the weights. A longer one would heat the processor before the first second."""
_STEADY_SHARE = 1 / 4
"""The last part of the time."""


@dataclass(frozen=True)
class Second:
    """About one second of a sustained run.

    Attributes:
        at_s: seconds since the first run, at the end of this second.
        run_ms: median time of one run of a batch; of a cascade the mean.
        images_per_s: throughput.
        is_disturbed: whether other work held up the process.
        state: the processor at the end of this second.
    """

    at_s: float
    run_ms: float
    images_per_s: float
    is_disturbed: bool
    state: ProcessorState


@dataclass(frozen=True)
class Sustained:
    """The result of a sustained run.

    Attributes:
        site: hardware and engine versions.
        measured_at: UTC time of the end, ISO 8601.
        bundle: name of the bundle.
        digest: digest of the bundle.
        setting: the setting.
        planned_s: seconds that were requested.
        seconds: the measurements, in order.
        data: the images of the runs; None for those of the self-test.
    """

    site: Site
    measured_at: str
    bundle: str
    digest: str
    setting: Setting
    planned_s: float
    seconds: tuple[Second, ...]
    data: DataReference | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the run took as long as requested; otherwise it was interrupted."""
        return self.seconds[-1].at_s >= self.planned_s

    @property
    def is_busy(self) -> bool:
        """Whether other work disturbed more than half of the time."""
        return 2 * sum(second.is_disturbed for second in self.seconds) > len(self.seconds)

    @cached_property
    def steady(self) -> tuple[Second, ...]:
        """The last quarter, without disturbed seconds unless all are."""
        last = self.seconds[-max(1, int(len(self.seconds) * _STEADY_SHARE)) :]
        return tuple(second for second in last if not second.is_disturbed) or last

    @property
    def steady_ms(self) -> float:
        """Median time of a run in the steady state."""
        return median(second.run_ms for second in self.steady)

    @property
    def as_fast(self) -> Estimate | None:
        """How many times as fast the steady state is as the first second; None if the machine was busy."""
        if self.is_busy:
            return None
        return ratio([self.seconds[0].run_ms] * len(self.steady), [second.run_ms for second in self.steady])

    @property
    def throttled(self) -> int | None:
        """Number of throttle events during the run; None if the system does not count them."""
        first, last = self.seconds[0].state.throttle_events, self.seconds[-1].state.throttle_events
        return None if first is None or last is None else last - first

    @property
    def limits(self) -> tuple[str, ...]:
        """The limits that the firmware applied at any time."""
        return tuple(dict.fromkeys(limit for second in self.seconds for limit in second.state.limits or ()))


def sustain(
    bundle: Bundle,
    setting: Setting,
    *,
    minutes: float,
    images: GivenImages | None = None,
    modules: Mapping[str, str] | None = None,
    progress: Progress = silent,
    state: Callable[[], ProcessorState] = processor_state,
) -> Sustained:
    """Run a bundle in a separate process for some minutes. Ctrl-C ends it early, with the result so far.

    Args:
        bundle: the bundle.
        setting: engine and options.
        minutes: how long to run.
        images: images to run in turns, which a cascade requires; None for the self-test's.
        modules: engine to the module that runs it, for engines that are not engines.
        progress: called after each second.
        state: returns the state of the processor.

    Raises:
        UsageError: the minutes are not in 0.1 to 1,440, or a cascade has no images.
        EngineError: the engine rejected the bundle or the setting, or crashed.
        KeyboardInterrupt: before the first second ended.
    """
    if not LEAST_MINUTES <= minutes <= MOST_MINUTES:
        raise UsageError(f"minutes must be in {LEAST_MINUTES:g}..{MOST_MINUTES:g}, found {minutes:g}")
    check_given([bundle], images)
    planned_s = 60 * minutes
    turns: list[Turn] = []
    seconds: list[Second] = []
    with (
        ImageFiles(images) as files,
        MeasuringProcess(bundle.path, setting, images=files.of(bundle), modules=modules) as worker,
    ):
        worker.warm_up(_WARM_UP_S)
        begin = time.monotonic()
        try:
            while not seconds or seconds[-1].at_s < planned_s:
                turns.append(worker.turn(TURN_S))
                seconds.append(_second(turns, time.monotonic() - begin, state()))
                progress("sustained", min(int(seconds[-1].at_s), int(planned_s)), int(planned_s), _note(seconds[-1]))
        except KeyboardInterrupt:
            if not seconds:
                raise
    return Sustained(
        site=this_site(),
        measured_at=utc_now(),
        bundle=bundle.manifest.name,
        digest=bundle.digest,
        setting=setting,
        planned_s=planned_s,
        seconds=tuple(seconds),
        data=None if images is None else images.data,
    )


def _second(turns: Sequence[Turn], at_s: float, state: ProcessorState) -> Second:
    """Return the last turn as a second. Only counters show a disturbance: a slower turn may be a throttled one."""
    turn = turns[-1]
    disturbed = turn.held_up_s is not None and is_disturbed(turn, turns)
    return Second(at_s, cost_ms([turn]), turn.images / turn.seconds, disturbed, state)


def _note(second: Second) -> str:
    clock, temperature = second.state.clock_mhz, second.state.temperature_c
    parts = [f"{second.run_ms:.3g} ms"]
    parts += [] if clock is None else [f"{clock:.0f} MHz"]
    parts += [] if temperature is None else [f"{temperature:.0f} °C"]
    return ", ".join(parts)
