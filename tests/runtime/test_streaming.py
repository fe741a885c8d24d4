"""Many batches through one session: every answer, in order, whatever the engine does in between."""

from collections.abc import Iterator

import numpy as np
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineError
from edgecnn.runtime.engines.backend import Session, SessionOptions
from edgecnn.runtime.engines.backends import installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.streaming import stream


@pytest.fixture(params=[(engine, streams) for engine in installed() for streams in (1, 2)], ids=str)
def session(request: pytest.FixtureRequest, committed: Bundle) -> Session:
    engine, streams = request.param
    return open_session(committed, backend=engine, options=SessionOptions(threads=1, concurrency=streams))


def test_answers_come_in_the_order_of_the_batches(session: Session, committed: Bundle):
    images = committed.self_test().images
    batches = [images[i : i + 1 + i % 3] for i in range(len(images) - 2)] * 5
    found = list(stream(session, iter(batches)))
    assert [len(logits) for logits in found] == [len(batch) for batch in batches]
    for logits, batch in zip(found, batches, strict=True):
        np.testing.assert_allclose(logits, session.run(batch), atol=1e-5)


def test_nothing_comes_of_no_batches(session: Session):
    assert list(stream(session, iter([]))) == []


def test_images_live_until_they_are_answered_although_nobody_else_keeps_them(session: Session, committed: Bundle):
    images = committed.self_test().images
    expected = session.run(images)

    def fresh() -> Iterator[np.ndarray]:
        for _ in range(200):
            yield images.copy()  # its memory is free for the next one as soon as nobody holds it

    for logits in stream(session, fresh()):
        np.testing.assert_array_equal(logits, expected)


def test_read_only_and_strided_images_are_answered_too(session: Session, committed: Bundle):
    images = committed.self_test().images.copy()
    expected = session.run(images[::2].copy())
    images.flags.writeable = False
    for logits in stream(session, [images[::2], images[::2].copy()]):
        np.testing.assert_array_equal(logits, expected)


def test_a_consumer_may_stop_early(session: Session, committed: Bundle):
    images = committed.self_test().images
    answers = stream(session, (images for _ in range(1000)))
    next(answers)
    del answers
    assert len(session.run(images)) == len(images)


def test_an_error_of_the_source_reaches_the_consumer(session: Session, committed: Bundle):
    def broken() -> Iterator[np.ndarray]:
        yield committed.self_test().images
        raise OSError("the camera is gone")

    answers = stream(session, broken())
    with pytest.raises(OSError, match="the camera is gone"):
        list(answers)


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 3, 3, 1), np.uint8), np.zeros((1, 32, 32, 1), np.float32)], ids=["size", "type"]
)
def test_wrong_images_are_an_engine_error_and_the_session_goes_on(
    session: Session, committed: Bundle, wrong: np.ndarray
):
    images = committed.self_test().images
    with pytest.raises(EngineError):
        list(stream(session, [images, images, wrong, images]))
    assert len(list(stream(session, [images]))) == 1
