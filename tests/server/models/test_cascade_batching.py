"""Tests of the two queues of a cascade: which images run again, in which runs, in which order, and how jobs end."""

import asyncio
import weakref

import numpy as np
from batching_bench import in_a_loop, logits
from cascade_bench import CascadeBench

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.models.batching import Job


def mixed(bench: CascadeBench, values: list[int]) -> Job:
    """Submit a job with an image of each value; its outcome has the key 0."""
    images = np.zeros((len(values), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = values
    job = Job(images, lambda outcome: bench.outcomes.update({0: outcome}), is_gone=lambda: False)
    bench.batcher.submit(job)
    return job


def refusal(outcome: object) -> tuple[str, str]:
    """Return the reason and the text of a refusal."""
    assert isinstance(outcome, Refusal)
    return outcome.reason, str(outcome)


@in_a_loop
async def test_runs_images_with_a_small_margin_again():
    bench = CascadeBench()
    job = mixed(bench, [50, 3, 10, 9])
    await bench.outcome(0)
    assert logits(bench.outcomes[0]) == [50, 1003, 10, 1009]
    assert job.runs_again is not None
    assert job.runs_again.tolist() == [False, True, False, True]
    assert (bench.engine.batches, bench.accurate.batches, bench.runs) == ([4], [2], [4, 2])
    assert bench.cascade.images == {"fast": 2, "accurate": 2}
    assert job.queued_s > 0 < job.inference_s
    bench.batcher.close()


@in_a_loop
async def test_joins_images_of_several_jobs():
    bench = CascadeBench()
    await bench.block()
    for value in (1, 2, 50, 3):
        bench.submit(value, count=2)
    await bench.unblock(5)
    assert (bench.engine.batches, bench.accurate.batches) == ([1, 8], [6])
    assert [logits(bench.outcomes[value]) for value in (1, 50, 3)] == [[1001] * 2, [50] * 2, [1003] * 2]
    bench.batcher.close()


@in_a_loop
async def test_both_graphs_take_turns():
    bench = CascadeBench(max_batch=2, accurate_batch=1)
    await bench.block()
    for value in range(1, 9):
        bench.submit(value)
    await bench.unblock(9)
    turns = ["accurate", "fast"] * 2
    assert bench.order == ["fast", "fast", "fast", *turns, *["accurate"] * 6]
    bench.batcher.close()


@in_a_loop
async def test_images_gather_for_the_accurate_graph_while_jobs_wait_for_the_fast_one():
    bench = CascadeBench(max_batch=1)
    await bench.block()
    for value in (1, 2, 3, 50, 51, 52, 53):
        bench.submit(value)
    await bench.unblock(8)
    assert bench.order == ["fast"] * 6 + ["accurate"] + ["fast"] * 2
    assert bench.accurate.batches == [3]
    bench.batcher.close()


@in_a_loop
async def test_the_accurate_graph_takes_its_turn_if_the_jobs_for_the_fast_one_have_left():
    bench = CascadeBench(max_batch=1)
    await bench.block()
    bench.submit(1)
    bench.submit(2)
    left = bench.submit(50)
    left.is_gone = lambda: True
    await bench.unblock(4)
    assert [logits(bench.outcomes[value]) for value in (1, 2)] == [[1001], [1002]]
    bench.batcher.close()


@in_a_loop
async def test_easy_images_are_answered_in_a_flood_of_hard_ones():
    bench = CascadeBench(max_batch=2, accurate_batch=1, max_waiting=2)
    await bench.block()
    for value in range(1, 9):
        bench.submit(value)
    bench.submit(50)
    await bench.unblock(10)
    assert logits(bench.outcomes[50]) == [50]
    answers = [bench.outcomes[value] for value in range(1, 9)]
    refused = [refusal(each) for each in answers if isinstance(each, Refusal)]
    assert 0 < len(refused) < 8
    assert set(refused) == {("busy", "2 images already wait for the accurate graph: try again later")}
    assert bench.cascade.images == {"fast": 2, "accurate": 8}
    bench.batcher.close()


@in_a_loop
async def test_an_empty_queue_takes_a_job_of_any_size():
    bench = CascadeBench(max_waiting=1)
    bench.submit(1, count=8)
    await bench.outcome(1)
    assert logits(bench.outcomes[1]) == [1001] * 8
    bench.batcher.close()


@in_a_loop
async def test_several_instances_run_both_graphs_at_once():
    bench = CascadeBench(instances=2)
    bench.accurate.may_run.clear()
    bench.submit(1)
    await bench.accurate_entered()
    assert not bench.batcher.is_idle()
    bench.submit(50)
    await bench.outcome(50)
    assert bench.batcher.longest_run_s() > 0
    bench.accurate.may_run.set()
    await bench.outcome(1)
    bench.batcher.close()


@in_a_loop
async def test_refuses_a_job_at_its_deadline_in_the_second_queue():
    bench = CascadeBench(accurate_batch=1)
    bench.accurate.may_run.clear()
    bench.submit(1)
    bench.submit(2, timeout_s=0.2)
    await bench.accurate_entered()
    await bench.outcome(2)
    message = "the request's timeout passed while it was queued for the accurate graph"
    assert refusal(bench.outcomes[2]) == ("late", message)
    bench.accurate.may_run.set()
    await bench.outcome(1)
    assert bench.accurate.batches == [1]
    bench.batcher.close()


@in_a_loop
async def test_ends_a_job_that_is_withdrawn_during_its_fast_run():
    bench = CascadeBench()
    bench.engine.may_run.clear()
    job = bench.submit(1)
    await bench.entered()
    bench.batcher.withdraw(job)
    bench.submit(50)
    await bench.unblock(1)
    assert set(bench.outcomes) == {50}
    assert bench.accurate.batches == []
    bench.batcher.close()


@in_a_loop
async def test_withdraws_a_job_from_the_second_queue():
    bench = CascadeBench(accurate_batch=1)
    bench.accurate.may_run.clear()
    bench.submit(1)
    waiting = bench.submit(2)
    await bench.accurate_entered()
    image = weakref.ref(waiting.images)
    bench.batcher.withdraw(waiting)
    assert image() is None
    bench.accurate.may_run.set()
    await bench.outcome(1)
    bench.submit(50)
    await bench.outcome(50)
    assert 2 not in bench.outcomes
    assert bench.accurate.batches == [1]
    bench.batcher.close()


@in_a_loop
async def test_drops_a_client_that_leaves_in_the_second_queue():
    bench = CascadeBench(accurate_batch=1)
    bench.accurate.may_run.clear()
    bench.submit(1)
    left = bench.submit(2)
    await bench.accurate_entered()
    left.is_gone = lambda: True
    bench.accurate.may_run.set()
    await bench.outcome(2)
    assert bench.outcomes[2] is None
    assert bench.accurate.batches == [1]
    bench.batcher.close()


@in_a_loop
async def test_keeps_only_the_images_that_run_again():
    bench = CascadeBench(accurate_batch=1)
    bench.accurate.may_run.clear()
    bench.submit(1)
    job = mixed(bench, [50, 2, 60])
    whole = weakref.ref(job.images)
    await bench.accurate_entered()
    await asyncio.sleep(0.05)  # the thread of the fast run releases its batch
    assert job.images is not None
    assert (job.images.shape, whole()) == ((1, 2, 2, 1), None)
    bench.accurate.may_run.set()
    await bench.outcome(0)
    assert job.images is None
    bench.batcher.close()


@in_a_loop
async def test_only_the_job_that_fails_is_refused():
    bench = CascadeBench()
    bench.accurate.refused = 4
    await bench.block()
    for value in (3, 4, 50, 255):
        bench.submit(value)
    await bench.unblock(5)
    assert [logits(bench.outcomes[value]) for value in (3, 50)] == [[1003], [50]]
    assert [refusal(bench.outcomes[value])[0] for value in (4, 255)] == ["engine", "engine"]
    bench.batcher.close()


@in_a_loop
async def test_close_refuses_the_jobs_of_both_queues():
    bench = CascadeBench(accurate_batch=1)
    bench.accurate.may_run.clear()
    for value in (1, 2):
        bench.submit(value)
    await bench.accurate_entered()
    bench.submit(3)
    bench.batcher.close()
    assert [refusal(bench.outcomes[value])[0] for value in (2, 3)] == ["unready", "unready"]
    bench.accurate.may_run.set()
    await bench.outcome(1)
    assert logits(bench.outcomes[1]) == [1001]


@in_a_loop
async def test_close_refuses_a_job_after_its_fast_run():
    bench = CascadeBench()
    bench.engine.may_run.clear()
    bench.submit(1)
    await bench.entered()
    bench.batcher.close()
    bench.engine.may_run.set()
    await bench.outcome(1)
    assert refusal(bench.outcomes[1]) == ("unready", "the model is being unloaded")
