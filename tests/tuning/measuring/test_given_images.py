"""Measurements on images that the user gives."""

from pathlib import Path

import numpy as np
import pytest

from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.runtime.cascade import CascadeSession
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.estimates import cost_ms, speed
from edgecnn.tuning.measuring.given_images import GivenImages, ImageFiles, check_given
from edgecnn.tuning.measuring.turn import InProcess, Turn

DATA = DataReference("pictures", "all", 3, "0" * 64)


def given(images: np.ndarray) -> GivenImages:
    return GivenImages(DATA, lambda preprocessing: images)


class Recorder:
    """A session that records the first pixel of each image of each batch."""

    info = SessionInfo("fake", "1", "cpu", "fp32", 1)

    def __init__(self, instances: int = 1) -> None:
        self.instances = instances
        self.batches: list[list[int]] = []

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        self.batches.append(images[:, 0, 0, 0].tolist())
        return np.zeros((len(images), 10), np.float32)

    def close(self) -> None:
        """Required by the protocol."""


@pytest.mark.parametrize(
    ("count", "batch", "expected"),
    [
        (3, 1, [[0], [1], [2], [0]]),
        (4, 2, [[0, 1], [2, 3], [0, 1]]),
        (3, 2, [[0, 1], [2, 0], [0, 1]]),
        (2, 5, [[0, 1, 0, 1, 0]] * 2),
    ],
)
def test_batches_take_turns(count: int, batch: int, expected: list[list[int]]):
    images = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    session = Recorder()
    runner = InProcess(session, images, batch=batch)
    for _ in expected:
        runner.run()
    assert session.batches == expected


def test_several_instances_run_all_images():
    session = Recorder(instances=2)
    turn = InProcess(session, np.arange(5, dtype=np.uint8).reshape(-1, 1, 1, 1), batch=1).turn(0.01)
    assert {batch[0] for batch in session.batches} == set(range(5))
    assert turn.images == len(turn.times_ms)
    assert turn.again is None


@pytest.mark.parametrize("instances", [1, 2])
def test_a_process_counts_the_images_that_run_again(instances: int, cascade_bundle: Bundle, tmp_path: Path):
    images = cascade_bundle.self_test().images
    session = open_session(cascade_bundle)
    assert isinstance(session, CascadeSession)
    again = session.run_stages(images)[1]
    shares = []
    for number, chosen in enumerate((again, ~again)):
        np.save(tmp_path / f"{number}.npy", images[chosen])
        setting = Setting("onnxruntime", threads=1, instances=instances)
        with Candidate(cascade_bundle, setting, images=tmp_path / f"{number}.npy") as candidate:
            assert candidate.open(warm_up_s=0.1), candidate.failure
            turn = candidate.turn(0.05)
            assert turn is not None
            assert turn.again is not None
            shares.append(turn.again / turn.images)
            memory = candidate.memory()
            assert memory.resident_bytes > 10e6
    assert shares == [1.0, 0.0]


def test_bundles_with_one_preprocessing_share_a_file(committed: Bundle, cascade_bundle: Bundle):
    images = np.zeros((3, *committed.manifest.image_shape), np.uint8)
    with ImageFiles(given(images)) as files:
        path = files.of(committed)
        assert path is not None
        assert files.of(cascade_bundle) == path
        assert np.array_equal(np.load(path), images)
    assert not path.exists()


def test_there_is_no_file_without_images(committed: Bundle):
    with ImageFiles(None) as files:
        assert files.of(committed) is None


def test_a_cascade_needs_images(committed: Bundle, cascade_bundle: Bundle):
    check_given([committed], None)
    check_given([committed, cascade_bundle], given(np.zeros(1)))
    with pytest.raises(UsageError, match=r"is a cascade, whose cost depends on the images: .*--data"):
        check_given([committed, cascade_bundle], None)


def test_the_cost_of_a_cascade_is_its_mean():
    times = (1.0,) * 9 + (11.0,)
    assert cost_ms([Turn(times, 10, 0.02)]) == 1.0
    found = speed([Turn(times, 10, 0.02, again=1)] * 4)
    assert found.p50_ms.value == 1.0
    assert found.mean_ms is not None
    assert found.mean_ms.value == found.cost_ms.value == pytest.approx(2.0)
    assert found.turns_ms == pytest.approx((2.0,) * 4)
    assert found.run_again == 0.1
