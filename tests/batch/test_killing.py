"""Tests that a batch job continues after `kill -9` without a lost or repeated image."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batch_sources import contents, digit_folder
from repository import COMMITTED

IMAGES, SHARD = 3000, 100


def command(digits: Path, out: Path) -> list[str]:
    options = ["--out", str(out), "--shard-images", str(SHARD), "--format", "jsonl"]
    return [sys.executable, "-m", "edgecnn", "batch", str(COMMITTED), str(digits), *options]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folder(tmp_path_factory.mktemp("killing") / "digits", IMAGES)


@pytest.fixture(scope="module")
def expected(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The output of a run that is not interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    subprocess.run(command(digits, out), check=True, capture_output=True)
    return contents(out)


def kill_at(digits: Path, out: Path, shards: int, delay_s: float) -> None:
    """Start a job, and kill it some time after it has written this number of shards."""
    with subprocess.Popen(command(digits, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(list(out.glob("shard-*"))) < shards:
            time.sleep(0.001)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_continues_after_kills(digits: Path, expected: dict[str, bytes], tmp_path: Path, kills: int):
    out = tmp_path / "out"
    moments = random.Random(kills)
    for kill in range(kills):
        kill_at(digits, out, 1 + kill * (IMAGES // SHARD) // kills, moments.uniform(0, 0.02))
    finished = len(list(out.glob("shard-*")))
    assert 0 < finished < IMAGES // SHARD or kills > 2
    done = subprocess.run(command(digits, out), check=True, capture_output=True, text=True)
    assert f"{IMAGES} images in {IMAGES // SHARD} shards" in done.stdout
    assert contents(out) == expected
    shutil.rmtree(out)


def test_an_interrupt_keeps_finished_shards(digits: Path, expected: dict[str, bytes], tmp_path: Path):
    out = tmp_path / "out"
    with subprocess.Popen(command(digits, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(out.glob("shard-*")):
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert (process.returncode, error) == (130, "\ninterrupted\n")
    subprocess.run(command(digits, out), check=True, capture_output=True)
    assert contents(out) == expected
