"""Benchmarks of real bundles, their files, and comparisons."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from busy_machine import as_if_idle

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError
from edgecnn.files import schema
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.benchmark import Benchmark, benchmark, settings
from edgecnn.tuning.measuring.comparison import compare, read_benchmark
from edgecnn.tuning.measuring.peak import peak_apart

INSTANCES = [1, 2][: usable_cores()]


def quick(*bundles: Bundle, candidates: list[Setting]) -> Benchmark:
    with as_if_idle():
        return benchmark(bundles, candidates, rounds=4, turn_s=0.02, peak=lambda precision, threads: 1e12)


@pytest.fixture(scope="module")
def measured(fp32_bundle: Bundle, int8_bundle: Bundle) -> Benchmark:
    return quick(fp32_bundle, int8_bundle, candidates=settings(installed(), threads=[1], instances=INSTANCES))


def test_measures_every_combination(measured: Benchmark):
    assert not measured.failed
    found = {(each.bundle, each.setting.engine, each.setting.instances) for each in measured.results}
    assert len(found) == len(measured.results) == 4 * len(INSTANCES)
    for each in measured.results:
        assert 0 < each.speed.p50_ms.low <= each.speed.p50_ms.value <= each.speed.p50_ms.high
        assert each.speed.p50_ms.value <= each.speed.p90_ms.value <= each.speed.p99_ms.value
        assert each.resident_bytes > 10e6
        assert len(each.speed.turns_ms) == 4


def test_computes_the_share_of_the_peak(measured: Benchmark, int8_bundle: Bundle):
    assert int8_bundle.manifest.macs
    for each in measured.results:
        expected = 2 * int8_bundle.manifest.macs * each.speed.images_per_s.value / 1e12
        assert each.peak_share == pytest.approx(expected)
    threads = ("1 thread", "2 threads")[: len(INSTANCES)]
    assert set(measured.peaks) == {f"{precision}, {number}" for precision in ("fp32", "int8") for number in threads}


def test_reports_a_setting_that_does_not_run(committed: Bundle):
    found = quick(committed, candidates=[Setting("onnxruntime", precision="bf16"), Setting("onnxruntime")])
    assert [each.setting for each in found.results] == [Setting("onnxruntime")]
    assert "bf16" in found.failed[0].reason


@pytest.mark.slow
def test_continues_after_an_engine_crash(committed: Bundle, fake_openvino: Callable[[str], None]):
    fake_openvino("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    found = quick(committed, candidates=settings(["openvino", "onnxruntime"], threads=[usable_cores()]))
    assert [each.setting.engine for each in found.results] == ["onnxruntime"]
    assert found.failed[0].reason == "openvino crashed: SIGSEGV"


def test_reads_back_a_benchmark(measured: Benchmark, tmp_path: Path):
    (tmp_path / "old.json").write_text(schema.dump(measured))
    assert read_benchmark(tmp_path / "old.json") == measured


def test_measures_the_peak_in_a_child():
    found = peak_apart("int8", 1)
    assert found is not None
    assert found > 1e8


def test_rejects_a_benchmark_without_rounds(measured: Benchmark, tmp_path: Path):
    document = schema.plain(measured) | {"yardstick_ms": []}
    (tmp_path / "old.json").write_text(json.dumps(document))
    with pytest.raises(EdgecnnError, match="one positive time per round"):
        read_benchmark(tmp_path / "old.json")


@pytest.mark.parametrize("content", ["", "{}", '{"results": 3}'])
def test_rejects_other_files(content: str, tmp_path: Path):
    (tmp_path / "old.json").write_text(content)
    with pytest.raises(EdgecnnError, match="is not a benchmark"):
        read_benchmark(tmp_path / "old.json")


def slowed(benchmark: Benchmark, factor: float, *, machine: float = 1.0) -> Benchmark:
    """Return the benchmark with times multiplied by `factor`, on a machine that is `machine` times as slow."""
    results = tuple(
        dataclasses.replace(
            each,
            speed=dataclasses.replace(each.speed, turns_ms=tuple(t * factor * machine for t in each.speed.turns_ms)),
        )
        for each in benchmark.results
    )
    yardstick = tuple(time * machine for time in benchmark.yardstick_ms)
    return dataclasses.replace(benchmark, results=results, yardstick_ms=yardstick)


def steady(benchmark: Benchmark) -> Benchmark:
    """Return the benchmark with constant times of the machine."""
    results = tuple(
        dataclasses.replace(each, speed=dataclasses.replace(each.speed, turns_ms=(1.0, 1.01, 0.99, 1.0)))
        for each in benchmark.results
    )
    return dataclasses.replace(benchmark, results=results, yardstick_ms=(1.0,) * 4)


def test_detects_slower_and_faster_results(measured: Benchmark):
    before = steady(measured)
    found = compare(before, slowed(before, 2.0))
    assert [each.verdict for each in found.changes] == ["slower"] * len(before.results)
    assert found.changes[0].ratio is not None
    assert found.changes[0].ratio.value == pytest.approx(0.5, abs=0.02)
    assert len(found.slower) == len(before.results)
    assert not compare(before, before).slower
    assert {each.verdict for each in compare(before, slowed(before, 0.5)).changes} == {"faster"}


def test_ignores_a_slower_machine(measured: Benchmark):
    before = steady(measured)
    assert {each.verdict for each in compare(before, slowed(before, 1.0, machine=1.5)).changes} == {"the same"}


def test_compares_only_common_results(measured: Benchmark):
    fewer = dataclasses.replace(measured, results=measured.results[1:])
    assert len(compare(measured, fewer).changes) == len(measured.results) - 1
    assert len(compare(measured, fewer).missing) == 1
    assert not compare(fewer, measured).missing
