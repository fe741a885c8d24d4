"""Tests of the queue of an engine: how jobs are batched, dropped and fail."""

import asyncio
import threading
import weakref

from batching_bench import Bench, in_a_loop, logits

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.models.batching import Batcher
from edgecnn.server.models.instances import InlineRunner, Instances


@in_a_loop
async def test_joins_jobs_queued_during_a_run():
    bench = Bench()
    await bench.block()
    for value in range(5):
        bench.submit(value)
    await bench.unblock(6)
    assert bench.engine.batches == [1, 5]
    assert [logits(bench.outcomes[value]) for value in range(5)] == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    assert bench.runs == [1, 5]
    bench.batcher.close()


@in_a_loop
async def test_limits_a_run_to_the_largest_batch():
    bench = Bench(max_batch=4)
    await bench.block()
    for value in range(4):
        bench.submit(value, count=3)
    await bench.unblock(5)
    assert bench.engine.batches == [1, 3, 3, 3, 3]
    assert logits(bench.outcomes[2]) == [2.0, 2.0, 2.0]
    bench.batcher.close()


@in_a_loop
async def test_shares_jobs_among_idle_instances():
    bench = Bench(instances=2)
    bench.engine.may_run.clear()
    for value in (1, 2, 3):
        bench.submit(value)
    await bench.entered()
    await bench.entered()
    await bench.unblock(3)
    assert sorted(bench.engine.batches) == [1, 2]
    bench.batcher.close()


@in_a_loop
async def test_refuses_a_queued_job_at_its_deadline():
    bench = Bench()
    await bench.block()
    bench.submit(7, timeout_s=0.05)
    await asyncio.sleep(0.2)
    outcome = bench.outcomes[7]
    assert isinstance(outcome, Refusal)
    assert outcome.status == 504
    await bench.unblock(2)
    assert bench.engine.batches == [1]
    bench.batcher.close()


@in_a_loop
async def test_does_not_run_abandoned_jobs():
    bench = Bench()
    await bench.block()
    bench.submit(1, gone=True)
    bench.batcher.withdraw(bench.submit(2))
    bench.submit(3)
    await bench.unblock(3)
    assert bench.engine.batches == [1, 1]
    assert bench.outcomes[1] is None
    assert 2 not in bench.outcomes
    bench.batcher.close()


@in_a_loop
async def test_drops_the_outcome_of_a_withdrawn_job():
    bench = Bench()
    bench.engine.may_run.clear()
    job = bench.submit(1)
    await bench.entered()
    bench.batcher.withdraw(job)
    bench.submit(2)
    await bench.unblock(1)
    assert set(bench.outcomes) == {2}
    bench.batcher.close()


@in_a_loop
async def test_only_the_faulty_job_of_a_batch_fails():
    bench = Bench()
    await bench.block()
    for value in (1, 255, 2):
        bench.submit(value)
    await bench.unblock(4)
    assert logits(bench.outcomes[1]) == [1.0]
    assert logits(bench.outcomes[2]) == [2.0]
    refusal = bench.outcomes[255]
    assert isinstance(refusal, Refusal)
    assert (refusal.status, str(refusal.__cause__)) == (500, "255 is too much")
    assert "255 is too much" not in str(refusal)
    bench.batcher.close()


@in_a_loop
async def test_a_delay_lets_jobs_join():
    bench = Bench(max_delay_s=1.0, max_batch=3)
    bench.submit(1)
    await asyncio.sleep(0.05)
    assert bench.engine.batches == []
    bench.submit(2)
    await bench.unblock(2)
    assert bench.engine.batches == [2]
    bench.batcher.close()


@in_a_loop
async def test_a_full_batch_does_not_wait():
    bench = Bench(max_delay_s=600.0, max_batch=3)
    for value in (3, 4, 5):
        bench.submit(value)
    await bench.unblock(3)
    assert bench.engine.batches == [3]
    bench.batcher.close()


@in_a_loop
async def test_reports_the_time_of_the_longest_run():
    bench = Bench()
    assert bench.batcher.longest_run_s() == 0
    await bench.block()
    await asyncio.sleep(0.05)
    assert bench.batcher.longest_run_s() >= 0.04
    await bench.unblock(1)
    assert bench.batcher.longest_run_s() == 0
    bench.batcher.close()


@in_a_loop
async def test_close_refuses_waiting_jobs():
    bench = Bench()
    await bench.block()
    bench.submit(1)
    bench.batcher.close()
    refusal = bench.outcomes[1]
    assert isinstance(refusal, Refusal)
    assert refusal.status == 503
    await bench.unblock(2)
    assert logits(bench.outcomes[100]) == [100.0]


@in_a_loop
async def test_refuses_jobs_after_close():
    bench = Bench()
    bench.batcher.close()
    bench.submit(1)
    refusal = bench.outcomes[1]
    assert isinstance(refusal, Refusal)
    assert refusal.status == 503


@in_a_loop
async def test_short_runs_use_no_thread():
    bench = Bench()
    threads = threading.active_count()
    bench.batcher = Batcher(
        bench.loop,
        Instances([InlineRunner(bench.loop)]),
        bench.engine.run,
        max_batch=2,
        max_delay_s=0.0,
        on_run=bench.ran,
    )
    for value in (1, 255, 3):
        bench.submit(value)
    assert not bench.outcomes  # the run starts after the loop has read other requests
    await bench.unblock(3)
    assert threading.active_count() == threads
    assert bench.runs == [2, 1]
    assert (logits(bench.outcomes[1]), logits(bench.outcomes[3])) == ([1.0], [3.0])
    assert isinstance(bench.outcomes[255], Refusal)


@in_a_loop
async def test_a_full_batch_ends_the_delay():
    bench = Bench(max_delay_s=30.0, max_batch=2)
    bench.submit(1)
    await asyncio.sleep(0.05)
    assert bench.engine.batches == []
    bench.submit(2)
    await bench.unblock(2)
    assert bench.engine.batches == [2]
    bench.batcher.close()


@in_a_loop
async def test_the_delay_never_exceeds_a_deadline():
    bench = Bench(max_delay_s=30.0)
    bench.submit(1)
    bench.submit(2, timeout_s=5.0)
    await bench.unblock(2)
    assert logits(bench.outcomes[2]) == [2.0]
    bench.batcher.close()


@in_a_loop
async def test_releases_images_when_a_job_ends():
    bench = Bench()
    await bench.block()
    left = bench.submit(1)
    late = bench.submit(2, timeout_s=0.01)
    images = [weakref.ref(job.images) for job in (left, late)]
    bench.batcher.withdraw(left)
    await bench.outcome(2)
    assert [image() for image in images] == [None, None]
    assert not bench.batcher._waiting
    await bench.unblock(2)
    bench.batcher.close()
