"""`benchmark` as a function: validation, and the evaluation of a comparison."""

import dataclasses
import re
from pathlib import Path

import pytest
from busy_machine import as_if_idle
from repository import COMMITTED

from edgecnn.bundle.store import open_bundle
from edgecnn.errors import EdgecnnError, SlowerThanBefore, UsageError
from edgecnn.files import schema
from edgecnn.hints import install_command
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.benchmark import Benchmarked, benchmark
from edgecnn.tuning.measuring.comparison import compare


@pytest.fixture(scope="module")
def measured() -> Benchmarked:
    with as_if_idle():
        found = benchmark(
            [open_bundle(COMMITTED)], engines=["onnxruntime"], precisions=["fp32", "bf16"], rounds=4, turn_s=0.02
        )
    found.raise_for_failures()
    return found


def against(now: Benchmarked, *, factor: float = 1.0, setting: Setting | None = None) -> Benchmarked:
    """Compare with an earlier benchmark whose times were `factor` times these, optionally under another setting."""
    (result,) = now.benchmark.results
    turns = tuple(time * factor for time in result.speed.turns_ms)
    old = dataclasses.replace(
        result, setting=setting or result.setting, speed=dataclasses.replace(result.speed, turns_ms=turns)
    )
    earlier = dataclasses.replace(now.benchmark, results=(old,))
    return Benchmarked(now.benchmark, compare(earlier, now.benchmark), Path("old.json"))


@pytest.mark.slow
def test_warns_about_settings_that_do_not_run(measured: Benchmarked):
    (warning,) = measured.warnings
    assert "does not run on onnxruntime, bf16" in warning


def test_rejects_a_slowdown(measured: Benchmarked):
    slower = against(measured, factor=0.05)
    with pytest.raises(SlowerThanBefore, match=r"in old\.json; the worst: lenet-.* on .* is 0\.0\d+ × \[.*\] as fast"):
        slower.raise_for_failures()
    against(measured, factor=20).raise_for_failures()


@pytest.mark.parametrize("is_busy", [(True, False), (False, True)], ids=["before", "now"])
def test_a_busy_machine_gives_no_verdict(measured: Benchmarked, is_busy: tuple[bool, bool]):
    before, now = (dataclasses.replace(measured.benchmark, is_busy=each) for each in is_busy)
    found = Benchmarked(now, compare(before, now), Path("old.json"))
    assert found.comparison is not None
    assert [(each.verdict, each.ratio) for each in found.comparison.changes] == [("unknown", None)]
    assert "this machine " + ("is" if now.is_busy else "was") + " busy" in found.warnings[-1]
    found.raise_for_failures()


def test_rejects_a_result_that_no_longer_runs(measured: Benchmarked):
    gone = measured.benchmark.failed[0].setting
    with pytest.raises(SlowerThanBefore, match="do not run any more"):
        against(measured, setting=gone).raise_for_failures()


def test_rejects_benchmarks_without_common_results(measured: Benchmarked):
    with pytest.raises(UsageError, match="no result for these bundles and settings"):
        against(measured, setting=Setting("onnxruntime", batch=999)).raise_for_failures()


def test_rejects_a_benchmark_without_results(measured: Benchmarked):
    empty = dataclasses.replace(measured.benchmark, results=())
    with pytest.raises(EdgecnnError, match="no requested setting runs here"):
        Benchmarked(empty).raise_for_failures()


def test_reads_the_earlier_file_first(measured: Benchmarked, tmp_path: Path):
    with pytest.raises(EdgecnnError, match="cannot read"):
        benchmark([], earlier=tmp_path / "nowhere.json")
    (tmp_path / "old.json").write_text(schema.dump(measured.benchmark))
    with pytest.raises(UsageError, match="unknown engine 'tflite'"):
        benchmark([], earlier=tmp_path / "old.json", engines=["tflite"])


def test_requires_a_module_for_pytorch():
    with pytest.raises(UsageError, match=re.escape(f"pytorch is not installed: {install_command('pipeline')}")):
        benchmark([], engines=["pytorch"])
