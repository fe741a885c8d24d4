"""Streams of batches through one session: completeness, order, and errors."""

from collections.abc import Iterator

import numpy as np
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineError
from edgecnn.runtime.engines.engine import Session, SessionOptions
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.streaming import stream


@pytest.fixture(params=[(engine, instances) for engine in installed() for instances in (1, 2)], ids=str)
def session(request: pytest.FixtureRequest, committed: Bundle) -> Session:
    engine, instances = request.param
    return open_session(committed, engine=engine, options=SessionOptions(threads=1, instances=instances))


def test_yields_answers_in_order(session: Session, committed: Bundle):
    images = committed.self_test().images
    batches = [images[i : i + 1 + i % 3] for i in range(len(images) - 2)] * 5
    found = list(stream(session, iter(batches)))
    assert [len(logits) for logits in found] == [len(batch) for batch in batches]
    for logits, batch in zip(found, batches, strict=True):
        np.testing.assert_allclose(logits, session.run(batch), atol=1e-5)


def test_accepts_an_empty_stream(session: Session):
    assert list(stream(session, iter([]))) == []


def test_keeps_images_alive_until_answered(session: Session, committed: Bundle):
    images = committed.self_test().images
    expected = session.run(images)

    def fresh() -> Iterator[np.ndarray]:
        for _ in range(200):
            yield images.copy()  # only the session keeps a reference

    for logits in stream(session, fresh()):
        np.testing.assert_array_equal(logits, expected)


def test_accepts_read_only_and_strided_images(session: Session, committed: Bundle):
    images = committed.self_test().images.copy()
    expected = session.run(images[::2].copy())
    images.flags.writeable = False
    for logits in stream(session, [images[::2], images[::2].copy()]):
        np.testing.assert_array_equal(logits, expected)


def test_a_consumer_can_stop_early(session: Session, committed: Bundle):
    images = committed.self_test().images
    answers = stream(session, (images for _ in range(1000)))
    next(answers)
    del answers
    assert len(session.run(images)) == len(images)


def test_propagates_an_error_of_the_source(session: Session, committed: Bundle):
    def broken() -> Iterator[np.ndarray]:
        yield committed.self_test().images
        raise OSError("the camera is disconnected")

    answers = stream(session, broken())
    with pytest.raises(OSError, match="the camera is disconnected"):
        list(answers)


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 3, 3, 1), np.uint8), np.zeros((1, 32, 32, 1), np.float32)], ids=["size", "type"]
)
def test_continues_after_wrong_images(session: Session, committed: Bundle, wrong: np.ndarray):
    images = committed.self_test().images
    with pytest.raises(EngineError):
        list(stream(session, [images, images, wrong, images]))
    assert len(list(stream(session, [images]))) == 1
