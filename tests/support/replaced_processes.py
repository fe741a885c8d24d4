"""Run one function for many seeds in processes of bounded memory; a process that ends or hangs is replaced."""

import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

PARTS = 2
SECONDS = 60.0  # for one seed, on a busy machine


def outcomes(
    outcome: Callable[[int, Path], str], prepare: Callable[[], None], count: int, folder: Path
) -> dict[int, str]:
    """Return what `outcome` returns for each seed below `count`, or how its process ended.

    Both functions are called in other processes: `prepare` first, which bounds the memory, and `outcome` with a seed
    and a folder of its process.
    """
    found: dict[int, str] = {}
    context = multiprocessing.get_context("spawn")
    for part in range(PARTS):
        own = folder / str(part)
        own.mkdir()
        following, log = part, folder / f"{part}.jsonl"
        while following < count:
            process = context.Process(target=_work, args=(outcome, prepare, range(following, count, PARTS), own, log))
            process.start()
            while process.is_alive():
                process.join(1)
                if log.exists() and time.time() - log.stat().st_mtime > SECONDS:
                    process.kill()
            rows = [json.loads(line) for line in log.read_text().splitlines()]
            found |= {seed: result for seed, result in rows if result != "started"}
            ended = max(seed for seed, _ in rows)
            if ended not in found:
                found[ended] = f"ended: {process.exitcode}"
            following = ended + PARTS
    return found


def _work(outcome: Callable[[int, Path], str], prepare: Callable[[], None], seeds: range, own: Path, log: Path) -> None:
    """Write a line before and after each seed."""
    prepare()
    with log.open("a") as lines:
        for seed in seeds:
            print(json.dumps([seed, "started"]), file=lines, flush=True)
            print(json.dumps([seed, outcome(seed, own)]), file=lines, flush=True)
