"""Tuning of real bundles on real engines, and decisions with fake timings."""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Sequence

import pytest
from contestants import contestant, times

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineError, UsageError
from edgecnn.host.resources import usable_cores
from edgecnn.progress import silent
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.conclusion import Tuned, decide, say
from edgecnn.tuning.contest import Contestant
from edgecnn.tuning.halving import Halving
from edgecnn.tuning.measuring.turn import Settled
from edgecnn.tuning.tune import drop_points, profile_of, search_space, tune


def test_chooses_one_bundle_of_a_reference(fp32_bundle: Bundle, int8_bundle: Bundle):
    found = tune([fp32_bundle, int8_bundle], budget_s=4)
    assert found.profile.choice.bundle in (fp32_bundle.digest, int8_bundle.digest)
    assert set(found.profile.best) == set(found.profile.bundles) == {fp32_bundle.digest, int8_bundle.digest}
    assert {(trial.bundle, trial.setting.engine) for trial in found.trials} == {
        (bundle, engine)
        for bundle in ("lenet-digits-fp32", "lenet-digits-int8")
        for engine in ("onnxruntime", "openvino")
    }
    assert found.profile.choice.setting.instances == found.profile.choice.setting.batch == 1
    assert found.profile.conclusion


@pytest.mark.slow
def test_tries_streams_and_batches_for_throughput(int8_bundle: Bundle):
    found = tune([int8_bundle], purpose="throughput", budget_s=4)
    tried = {(trial.setting.threads, trial.setting.instances, trial.setting.batch) for trial in found.trials}
    assert {batch for _, _, batch in tried} == {1, 8}
    assert all(threads * instances <= usable_cores() for threads, instances, _ in tried)
    best = max(trial.speed.images_per_s.value for trial in found.trials if trial.speed and trial.out is None)
    assert found.profile.choice.figure.value == best


@pytest.mark.slow
def test_reports_a_crashed_engine(int8_bundle: Bundle, fake_openvino: Callable[[str], None]):
    fake_openvino("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    found = tune([int8_bundle], budget_s=4)
    assert found.profile.choice.setting.engine == "onnxruntime"
    first, *others = [trial.out for trial in found.trials if trial.setting.engine == "openvino"]
    assert first == "failed: openvino crashed: SIGILL"
    assert set(others) <= {"not tried: openvino crashed on this bundle before"}


def test_rejects_several_references(committed: Bundle, fp32_bundle: Bundle):
    with pytest.raises(UsageError, match="come from different references"):
        tune([committed, fp32_bundle])
    with pytest.raises(UsageError, match="no bundle"):
        tune([])


def test_rejects_bundles_with_a_large_drop(int8_bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edgecnn.tuning.tune.drop_points", lambda bundle, engine: 0.5)
    with pytest.raises(EngineError, match=r"drop of 0\.50 points, 0\.1 allowed"):
        tune([int8_bundle])


def test_takes_the_drop_from_the_proof(fp32_bundle: Bundle, int8_bundle: Bundle):
    assert drop_points(fp32_bundle, "openvino") == 0
    proof = {each.engine: each.comparison for each in int8_bundle.proof().engines}
    for engine, found in proof.items():
        assert found.reference_top1 is not None
        assert found.top1 is not None
        assert drop_points(int8_bundle, engine) == pytest.approx(100 * (found.reference_top1 - found.top1))


def test_orders_candidates_by_promise(fp32_bundle: Bundle, int8_bundle: Bundle):
    space = search_space([fp32_bundle, int8_bundle], ["a", "b"], cores=4, purpose="latency")
    assert [setting.threads for _, setting in space] == [4] * 4 + [1] * 4 + [2] * 4
    assert [bundle.manifest.precision for bundle, _ in space[:2]] == ["int8", "fp32"]
    space = search_space([int8_bundle], ["a"], cores=6, purpose="throughput")
    assert {(s.threads, s.instances) for _, s in space} == {(1, 6), (6, 1), (3, 2), (1, 4)}


def test_one_core_has_one_setting(int8_bundle: Bundle):
    assert [s for _, s in search_space([int8_bundle], ["a"], cores=1, purpose="latency")] == [Setting("a")]


@dataclasses.dataclass
class Halved:
    """A search that has ended, and its finalists."""

    search: Halving
    finalists: list[Contestant]


def halved(field: Sequence[Contestant], *, until: float = 1e9) -> Halved:
    """Run a search over candidates with fake timings."""
    search = Halving(field, lambda: 0.0, silent)
    search.try_each(until)
    with contextlib.ExitStack() as stack:
        return Halved(search, search.compare(None, until, stack))


def halve(field: Sequence[Contestant], *, until: float = 1e9) -> list[str]:
    """Return the names of the finalists of a search."""
    return [str(each.candidate) for each in halved(field, until=until).finalists]


def test_keeps_the_fastest_and_the_best_fp32(fp32_bundle: Bundle, int8_bundle: Bundle):
    field = [contestant(f"int8-{ms}", int8_bundle, ms) for ms in range(1, 9)]
    field += [contestant(f"fp32-{ms}", fp32_bundle, ms) for ms in (30, 20)]
    assert halve(field) == ["int8-1", "int8-2", "fp32-20"]
    assert {each.out for each in field if str(each.candidate) not in ("int8-1", "int8-2", "fp32-20")} == {"slower"}


def test_rejects_a_candidate_that_fails_later(int8_bundle: Bundle):
    field = [contestant(f"c{ms}", int8_bundle, ms, dies_after=4 if ms == 1 else 1000) for ms in range(1, 5)]
    assert halve(field)[0] == "c2"
    assert field[0].out == "failed: it is dead"


def test_rejects_a_failed_self_test(int8_bundle: Bundle):
    field = [contestant("wrong", int8_bundle, 1, answers=False), contestant("right", int8_bundle, 2)]
    assert halve(field) == ["right"]
    assert field[0].out == "self-test failed: another answer"


def test_skips_an_engine_that_crashed(int8_bundle: Bundle):
    field = [
        contestant(name, int8_bundle, 2, dies_after=0 if name != "right" else 1000) for name in ("a", "b", "right")
    ]
    for each in field[:2]:
        each.candidate.crashed = True
    field[2].candidate.setting = Setting("another")
    assert halve(field, until=-1.0) == ["right"]  # runs although the time limit was reached
    assert field[1].out == "not tried: engine crashed on this bundle before"


def test_best_settings_have_a_passed_self_test(fp32_bundle: Bundle, int8_bundle: Bundle):
    wrong, right = contestant("wrong", int8_bundle, 1, answers=False), contestant("right", int8_bundle, 3)
    other = contestant("fp32", fp32_bundle, 2)
    halve([wrong, right, other])
    assert (wrong.proven, right.proven, other.proven) == (False, True, True)
    for each in (wrong, right, other):  # a profile accepts only installed engines
        each.candidate.setting = Setting("onnxruntime")
    found = profile_of(right, [wrong, right, other], [fp32_bundle, int8_bundle], max_drop=0.1, conclusion="")
    assert found.best[int8_bundle.digest].figure.value == 3
    assert set(found.best) == {fp32_bundle.digest, int8_bundle.digest}


def test_tries_each_bundle_after_the_time_limit(fp32_bundle: Bundle, int8_bundle: Bundle):
    field = [contestant(f"int8-{n}", int8_bundle, n) for n in (3, 2, 1)] + [contestant("fp32", fp32_bundle, 9)]
    assert halve(field, until=-1.0) == ["int8-3", "fp32"]
    assert [each.out for each in field[1:3]] == ["not tried: the time limit was reached"] * 2


def raced(bundle: Bundle, ms: float, *, name: str = "x", drop: float = 0.0) -> Contestant:
    """Return a candidate with twelve turns of the given time."""
    found = contestant(name, bundle, ms)
    found.note(*times(ms, 12))
    found.drop = drop
    return found


IDLE, BUSY = Settled([], 12, 0, is_busy=False), Settled([], 9, 8, is_busy=True)


def conclusion(
    *finalists: Contestant,
    field: Sequence[Contestant] | None = None,
    pytorch: Contestant | None = None,
    rounds: Settled = IDLE,
) -> str:
    return say(decide(finalists, pytorch, rounds), field or finalists)


def test_chooses_int8_if_it_is_faster(fp32_bundle: Bundle, int8_bundle: Bundle):
    int8, fp32, pytorch = raced(int8_bundle, 2, drop=0.02), raced(fp32_bundle, 5), raced(fp32_bundle, 10.4)
    assert conclusion(int8, fp32, pytorch=pytorch) == (
        "INT8 on engine, 1 thread: 2.5 × [2.5, 2.5] as fast as FP32 on engine, 1 thread; "
        "5.2 × [5.2, 5.2] as fast as PyTorch; -0.02 points"
    )


def test_keeps_fp32_if_int8_is_slower(fp32_bundle: Bundle, int8_bundle: Bundle):
    int8, fp32, pytorch = raced(int8_bundle, 8), raced(fp32_bundle, 5), raced(fp32_bundle, 40)
    assert conclusion(fp32, int8, pytorch=pytorch) == (
        "keep FP32 on engine, 1 thread: 8.0 × [8.0, 8.0] as fast as PyTorch; "
        "INT8 on engine, 1 thread is 0.62 × [0.62, 0.62] as fast"
    )


def test_keeps_fp32_if_fp16_is_as_fast(fp32_bundle: Bundle, fp16_bundle: Bundle, int8_bundle: Bundle):
    fp16, fp32, int8 = raced(fp16_bundle, 5), raced(fp32_bundle, 5), raced(int8_bundle, 8)
    assert conclusion(fp16, fp32, int8) == (
        "keep FP32 on engine, 1 thread: FP16 on engine, 1 thread is 1.000 × [1.000, 1.000] as fast"
    )


def test_compares_int8_with_fp16(fp16_bundle: Bundle, int8_bundle: Bundle):
    fp16, int8 = raced(fp16_bundle, 5), raced(int8_bundle, 2)
    assert conclusion(int8, fp16) == (
        "INT8 on engine, 1 thread: 2.5 × [2.5, 2.5] as fast as FP16 on engine, 1 thread; +0.00 points"
    )
    assert conclusion(raced(fp16_bundle, 5), raced(int8_bundle, 8)) == (
        "keep FP16 on engine, 1 thread: INT8 on engine, 1 thread is 0.62 × [0.62, 0.62] as fast; +0.00 points"
    )


def test_says_why_int8_was_rejected_beside_fp16(fp32_bundle: Bundle, fp16_bundle: Bundle, int8_bundle: Bundle):
    int8, fp32, fp16 = contestant("int8", int8_bundle, 2), raced(fp32_bundle, 5), raced(fp16_bundle, 6)
    int8.judge(0.31, 0.1)
    assert conclusion(fp32, fp16, field=[int8, fp32, fp16]).endswith(
        "as fast; INT8 was rejected: drop of 0.31 points, 0.1 allowed"
    )


def varying(bundle: Bundle, low_ms: float, high_ms: float) -> Contestant:
    """Return a candidate with two times by turns."""
    found = contestant("x", bundle, low_ms)
    found.note(*(turn for _ in range(6) for ms in (low_ms, high_ms) for turn in times(ms, 1)))
    return found


def test_keeps_fp32_if_int8_is_not_clearly_faster(fp32_bundle: Bundle, int8_bundle: Bundle):
    assert conclusion(varying(int8_bundle, 4.9, 5.1), raced(fp32_bundle, 5)) == (
        "keep FP32 on engine, 1 thread: INT8 on engine, 1 thread is 1.000 × [0.980, 1.020] as fast"
    )


def test_verdict_for_a_single_precision(int8_bundle: Bundle):
    assert conclusion(raced(int8_bundle, 2)) == (
        "INT8 on engine, 1 thread: 2.00 [2.00, 2.00] ms an image; +0.00 points"
    )


def test_verdict_says_why_int8_was_rejected(fp32_bundle: Bundle, int8_bundle: Bundle):
    int8, fp32 = contestant("int8", int8_bundle, 2), raced(fp32_bundle, 5)
    int8.judge(0.31, 0.1)
    assert conclusion(fp32, field=[int8, fp32]) == (
        "keep FP32 on engine, 1 thread: 5.00 [5.00, 5.00] ms an image; "
        "INT8 was rejected: drop of 0.31 points, 0.1 allowed"
    )


def test_gives_no_ratio_on_a_busy_machine(fp32_bundle: Bundle, int8_bundle: Bundle):
    int8, fp32, pytorch = raced(int8_bundle, 2), raced(fp32_bundle, 5), raced(fp32_bundle, 10.4)
    assert conclusion(int8, fp32, pytorch=pytorch, rounds=BUSY) == (
        "INT8 on engine, 1 thread: this machine is busy: no speed comparison (other work disturbed 8 of 9 rounds); "
        "+0.00 points"
    )
    assert conclusion(fp32, rounds=BUSY).startswith("FP32 on engine, 1 thread: this machine is busy: no speed")


def test_an_uncertain_ratio_is_not_reported(fp32_bundle: Bundle, int8_bundle: Bundle):
    fp32, pytorch = raced(fp32_bundle, 5), raced(fp32_bundle, 10)
    for finalists, beside in (((fp32, varying(int8_bundle, 4, 8)), pytorch), ((fp32,), varying(fp32_bundle, 9, 20))):
        text = conclusion(*finalists, pytorch=beside)
        assert re.search(
            r"this machine is busy: no speed comparison \(a ratio varies from \d\.\d\d to \d\.\d\d\)", text
        )
        assert "as fast" not in text


def test_measures_disturbed_rounds_again(fp32_bundle: Bundle, int8_bundle: Bundle):
    """Other work delays FP32 in two turns on its own, and in one round, by 35 ms a run."""
    fp32 = contestant("fp32", fp32_bundle, 2, delays_ms=(35, 35, 0, 0, 35))
    int8 = contestant("int8", int8_bundle, 1.25)
    found = halved([fp32, int8])
    assert not found.search.rounds.is_busy
    assert found.search.rounds.disturbed == 1
    assert len(fp32.turns) == len(int8.turns) == 12
    assert "INT8 on engine, 1 thread: 1.60 × [1.60, 1.60] as fast as FP32" in conclusion(*found.finalists)


def test_says_that_the_machine_is_busy(fp32_bundle: Bundle, int8_bundle: Bundle):
    fp32 = contestant("fp32", fp32_bundle, 2, delays_ms=(35,) * 1000)
    found = halved([fp32, contestant("int8", int8_bundle, 1.25)])
    assert found.search.rounds.is_busy
    assert found.search.rounds.disturbed == found.search.rounds.rounds == 12


def test_takes_no_additional_rounds_without_time(fp32_bundle: Bundle, int8_bundle: Bundle):
    fp32 = contestant("fp32", fp32_bundle, 2, delays_ms=(0, 35) * 100)
    assert halved([fp32, contestant("int8", int8_bundle, 1.25)], until=0.0).search.rounds.rounds == 3
    assert halved([fp32, contestant("int8", int8_bundle, 1.25)]).search.rounds.rounds > 12


def test_warns_of_a_busy_machine(int8_bundle: Bundle):
    found = raced(int8_bundle, 2)
    found.candidate.setting = Setting("onnxruntime")
    profile = profile_of(found, [found], [int8_bundle], max_drop=0.1, conclusion="")
    tuned = Tuned(profile, (found.trial(),), is_busy=True)
    (warning,) = tuned.warnings
    assert warning == "this machine is busy, and the choice may be wrong: run `edgecnn tune` again when it is idle"
    assert dataclasses.replace(tuned, is_busy=False).warnings == ()
