"""The speed comparison of an INT8 bundle: its sentence, and what it says on a busy machine."""

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import pytest
from busy_machine import FakeMachine, busy_loops

from edgecnn.bundle.store import Bundle
from edgecnn.cli.bundle_text import quantized_text
from edgecnn.files import schema
from edgecnn.pipeline.quantization.quantizing import Quantized
from edgecnn.pipeline.quantization.speed_comparison import (
    EngineComparison,
    SpeedComparison,
    compare_bundles,
    compare_speeds,
)
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.verification.evaluation import Evaluation

ENGINE = EngineComparison("engine", None, 1.0)
SIZES = (400, 100)
Delay = Callable[[float], float]


def never(now: float) -> float:
    return 0.0


def compared(
    fp32_ms: float,
    int8_ms: float,
    *,
    fp32_delay: Delay = never,
    int8_delay: Delay = never,
    counts_waits: bool = True,
) -> SpeedComparison:
    """Compare two candidates on a fake machine, whose other work delays their runs."""
    machine = FakeMachine(counts_waits=counts_waits)
    fp32 = machine.runner(fp32_ms / 1e3, interrupted=fp32_delay)
    int8 = machine.runner(int8_ms / 1e3, interrupted=int8_delay)
    return compare_speeds([ENGINE], [(fp32, int8)], precision="int8", threads=2, sizes=SIZES)


def test_says_how_fast_int8_is():
    found = compared(2.0, 1.25)
    assert found.conclusion == (
        "INT8 on engine, 2 threads is 1.60 × [1.60, 1.60] as fast as FP32 on engine, 2 threads; "
        "INT8 is 0.25 × as large as FP32"
    )
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(1.6)
    (engine,) = found.engines
    assert engine.fp32_ms is not None
    assert engine.quantized_ms is not None
    assert (engine.fp32_ms.value, engine.quantized_ms.value) == (pytest.approx(2), pytest.approx(1.25))


def test_keeps_fp32_if_int8_is_not_as_fast():
    found = compared(1.0, 1.25)
    assert found.conclusion.startswith(
        "keep FP32 on this machine: INT8 on engine, 2 threads is 0.80 × [0.80, 0.80] as fast as FP32"
    )


def test_does_not_advise_against_fp16():
    """FP16 runs the operators of FP32: its gain is the size."""
    machine = FakeMachine()
    pair = (machine.runner(2e-3), machine.runner(2.1e-3))
    found = compare_speeds([ENGINE], [pair], precision="fp16", threads=1, sizes=(400, 200))
    assert found.conclusion == (
        "FP16 on engine, 1 thread is 0.952 × [0.952, 0.952] as fast as FP32 on engine, 1 thread; "
        "FP16 is 0.50 × as large as FP32"
    )


def test_compares_the_fastest_engines():
    machine = FakeMachine()
    pairs = [(machine.runner(fp32), machine.runner(int8)) for fp32, int8 in ((4e-3, 1e-3), (3e-3, 2e-3))]
    engines = [dataclasses.replace(ENGINE, engine=name) for name in ("first", "second")]
    found = compare_speeds(engines, pairs, precision="int8", threads=1, sizes=SIZES)
    assert "INT8 on first, 1 thread is 3.0 × [3.0, 3.0] as fast as FP32 on second, 1 thread" in found.conclusion
    assert [round(each.ratio.value, 2) for each in found.engines if each.ratio] == [4, 1.5]


def while_busy(delay: float, *, busy_s: float, idle_s: float) -> Delay:
    """Return delays of a machine that is busy and idle by turns."""
    return lambda now: delay if now % (busy_s + idle_s) < busy_s else 0.0


ALWAYS: Delay = lambda now: 35e-3  # noqa: E731
DELAYS: dict[str, dict[str, Delay]] = {
    "only FP32": {"fp32_delay": ALWAYS},
    "only INT8": {"int8_delay": ALWAYS},
    "FP32 more": {"fp32_delay": ALWAYS, "int8_delay": while_busy(4e-3, busy_s=0.01, idle_s=0.1)},
    "at times": {"fp32_delay": while_busy(35e-3, busy_s=1.3, idle_s=0.9)},
    "at first": {"fp32_delay": lambda now: 35e-3 if now < 3 else 0.0},
    "in the end": {"fp32_delay": lambda now: 35e-3 if now > 0.7 else 0.0},
    "some runs": {"fp32_delay": while_busy(5e-3, busy_s=0.02, idle_s=0.05)},
    "short delays": {"fp32_delay": lambda now: 3e-4},
}


@pytest.mark.parametrize("counts_waits", [True, False], ids=["linux", "elsewhere"])
@pytest.mark.parametrize("delays", DELAYS.values(), ids=DELAYS)
def test_other_work_falsifies_no_ratio(delays: dict[str, Delay], counts_waits: bool):
    """FP32 takes 2 ms and INT8 1.25 ms. With the delays the times have a ratio of up to 30."""
    found = compared(2.0, 1.25, counts_waits=counts_waits, **delays)
    (engine,) = found.engines
    if found.is_busy:
        assert found.ratio is engine.ratio is engine.fp32_ms is engine.quantized_ms is None
        assert found.conclusion.startswith("this machine is busy: no speed comparison (other work disturbed ")
        assert "as fast" not in found.conclusion
    else:
        assert found.ratio is not None
        assert found.ratio.low <= 1.6 * 1.05
        assert found.ratio.high >= 1.6 * 0.95


def test_prints_no_times_of_a_busy_machine(committed: Bundle):
    found = compared(2.0, 1.25, **DELAYS["only FP32"])
    text = quantized_text(Quantized(committed, (), found), analyze=False)
    assert text.splitlines()[-1] == (
        "this machine is busy: no speed comparison (other work disturbed 12 of 12 rounds); "
        "INT8 is 0.25 × as large as FP32"
    )
    assert " ms" not in text
    assert schema.plain(found)["ratio"] is None
    assert schema.plain(found)["is_busy"] is True


def test_prints_no_uncertain_ratio():
    machine = FakeMachine(counts_waits=True)
    clock = iter(range(10**6))

    class Varying:
        """A candidate whose time depends on the turn, for another reason than other work."""

        def turn(self, seconds: float):
            return machine.runner(1e-3 * (1 + next(clock) % 3)).turn(seconds)

    found = compare_speeds([ENGINE], [(Varying(), machine.runner(1e-3))], precision="int8", threads=1, sizes=SIZES)
    assert found.is_busy
    assert re.search(r"busy: no speed comparison \(a ratio varies from 1\.00 to [23]\.00\)", found.conclusion)


@pytest.mark.slow
def test_names_an_engine_that_fails(committed: Bundle, fake_openvino: Callable[[str], None]):
    fake_openvino("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    found = compare_bundles(committed, committed, answers())
    ours = {each.engine: each for each in found.engines}
    assert ours["openvino"].failure == "openvino crashed: SIGILL"
    assert ours["openvino"].ratio is None
    assert "    no speed comparison: openvino crashed: SIGILL" in quantized_text(
        Quantized(committed, (), found), analyze=False
    )


def answers() -> Evaluation:
    """Return the same answers for every engine, without targets."""
    from types import SimpleNamespace

    logits = np.eye(10, dtype=np.float32)
    return Evaluation(SimpleNamespace(targets=None), dict.fromkeys((*installed(), "reference"), logits))  # type: ignore[arg-type]


@pytest.mark.slow
def test_busy_loops_falsify_no_ratio(committed: Bundle):
    """A bundle is as fast as itself, whatever else runs."""
    with busy_loops():
        found = compare_bundles(committed, committed, answers())
    if not found.is_busy:
        ratios = [each.ratio for each in found.engines]
        assert all(ratio is not None and ratio.low <= 1 <= ratio.high for ratio in ratios)
