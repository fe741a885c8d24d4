"""Sustained runs: their summary, an early end, and a real run."""

import dataclasses

import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.host.throttling import ProcessorState
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.site import this_site
from edgecnn.tuning.sustained import Second, Sustained, sustain

ORT = Setting("onnxruntime", threads=1)
COOL, HOT = ProcessorState(1800.0, 45.0, 3, ()), ProcessorState(900.0, 85.0, 10, ("throttled",))


def run(*seconds: Second, planned_s: float = 60.0) -> Sustained:
    return Sustained(this_site(), "2026-01-01T00:00:00+00:00", "lenet", "digest", ORT, planned_s, seconds)


def second(number: int, run_ms: float, state: ProcessorState = COOL, *, is_disturbed: bool = False) -> Second:
    return Second(float(number + 1), run_ms, 1e3 / run_ms, is_disturbed, state)


HEATING = run(*(second(n, 2.0 if n < 30 else 4.0, COOL if n < 30 else HOT) for n in range(60)))


def test_compares_the_last_quarter_with_the_first_second():
    assert HEATING.steady_ms == 4.0
    assert HEATING.as_fast is not None
    assert (HEATING.as_fast.low, HEATING.as_fast.value, HEATING.as_fast.high) == (0.5, 0.5, 0.5)
    assert HEATING.is_complete


def test_reports_throttling():
    assert (HEATING.throttled, HEATING.limits) == (7, ("throttled",))
    unknown = run(second(0, 2.0, ProcessorState()), second(1, 2.0, ProcessorState()))
    assert (unknown.throttled, unknown.limits) == (None, ())


def test_disturbed_seconds_do_not_count():
    found = run(*(second(n, 2.0) for n in range(6)), second(6, 9.0, is_disturbed=True), second(7, 2.0))
    assert found.steady_ms == 2.0
    assert not found.is_busy
    assert not found.is_complete


def test_a_busy_machine_has_no_ratio():
    found = run(*(second(n, 2.0, is_disturbed=n > 0) for n in range(4)))
    assert found.is_busy
    assert found.as_fast is None
    assert found.steady_ms == 2.0


@pytest.mark.parametrize("minutes", [0.0, 0.09, 1441.0, float("nan")])
def test_rejects_other_durations(committed: Bundle, minutes: float):
    with pytest.raises(UsageError, match=r"minutes must be in 0\.1\.\.1440"):
        sustain(committed, ORT, minutes=minutes)


def test_an_interruption_keeps_the_result_so_far(committed: Bundle):
    shown: list[str] = []

    def interrupt(stage: str, done: int, total: int, note: str = "") -> None:
        shown.append(note)
        raise KeyboardInterrupt

    found = sustain(committed, ORT, minutes=5, progress=interrupt, state=lambda: COOL)
    assert len(found.seconds) == 1
    assert not found.is_complete
    assert found.seconds[0].images_per_s > 0
    assert shown[0].endswith(" ms, 1800 MHz, 45 °C")


def test_an_interruption_before_the_first_second_is_raised(committed: Bundle):
    def interrupt() -> ProcessorState:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sustain(committed, ORT, minutes=5, state=interrupt)


@pytest.mark.slow
def test_runs_for_the_requested_time(committed: Bundle):
    found = sustain(committed, dataclasses.replace(ORT, batch=2), minutes=0.1)
    assert found.is_complete
    assert 6.0 <= found.seconds[-1].at_s < 60.0
    assert [each.at_s for each in found.seconds] == sorted(each.at_s for each in found.seconds)
