"""One contract for all engines and all devices of this machine, and rejected requests."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineError
from edgecnn.runtime.engines.engine import Session, SessionOptions
from edgecnn.runtime.engines.registry import get_engine, installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.streaming import stream

PAIRS = [(name, device.name) for name in installed() for device in get_engine(name).devices()]
ENGINES = pytest.mark.parametrize("engine", installed())


@pytest.fixture(params=PAIRS, ids=[f"{engine}-{device}" for engine, device in PAIRS])
def session(request: pytest.FixtureRequest, committed: Bundle) -> Session:
    engine, device = request.param
    return open_session(committed, engine=engine, options=SessionOptions(device=device))


def test_both_engines_are_installed():
    assert set(installed()) == {"onnxruntime", "openvino"}
    assert {device for _, device in PAIRS} >= {"cpu"}


def test_returns_float32_logits(session: Session, committed: Bundle):
    images = committed.self_test().images
    for batch in (1, 3, 8, 32):
        logits = session.run(images[:batch])
        assert logits.dtype == np.float32
        assert logits.shape == (batch, 10)


def test_answers_do_not_depend_on_batch_mates(session: Session, committed: Bundle):
    images = committed.self_test().images
    together = session.run(images)
    alone = np.concatenate([session.run(images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_later_run_keeps_earlier_results(session: Session, committed: Bundle):
    images = committed.self_test().images
    first = session.run(images[:1])
    kept = first.copy()
    session.run(images[1:2])
    np.testing.assert_array_equal(first, kept)


def test_writes_logits_to_out(session: Session, committed: Bundle):
    images = committed.self_test().images[:4]
    out = np.full((4, 10), np.nan, np.float32)
    assert session.run(images, out=out) is out
    np.testing.assert_array_equal(out, session.run(images))


def test_threads_share_a_session_for_single_images(session: Session, committed: Bundle):
    images = committed.self_test().images[:16]
    expected = [session.run(images[i : i + 1]) for i in range(len(images))]
    found: dict[int, list[np.ndarray]] = {}

    def run(thread: int) -> None:
        found[thread] = [session.run(images[i : i + 1]) for _ in range(10) for i in range(len(images))]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answers in found.values():
        np.testing.assert_allclose(answers, expected * 10, atol=1e-5)
    assert len(found) == 4


def test_a_rejected_image_leaves_later_answers_unchanged(session: Session, committed: Bundle):
    image = committed.self_test().images[:1]
    expected = [session.run(image) for _ in range(3)]
    for wrong in (np.zeros((1, 3, 3, 1), np.uint8), image.astype(np.int8), image[:, :, :, :0]):
        with pytest.raises(EngineError):
            session.run(wrong)
        np.testing.assert_array_equal(session.run(image), expected[-1])
    np.testing.assert_array_equal(expected[0], expected[-1])


@ENGINES
def test_sessions_can_be_opened_and_closed_again(engine: str, committed: Bundle):
    images = committed.self_test().images[:4]
    answers = []
    for _ in range(10):
        session = open_session(committed, engine=engine, options=SessionOptions(threads=1))
        answers.append(np.concatenate([session.run(image[np.newaxis]) for image in images]))
        session.close()  # frees the memory of single images
    np.testing.assert_array_equal(answers, [answers[0]] * 10)


def test_a_closed_session_rejects_single_images(session: Session, committed: Bundle):
    image = committed.self_test().images[:1]
    session.run(image)
    session.run(image)
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run(image)


def test_accepts_strided_images(session: Session, committed: Bundle):
    images = committed.self_test().images
    np.testing.assert_array_equal(session.run(images[::2]), session.run(images[::2].copy()))


@pytest.mark.parametrize(
    "images",
    [np.zeros((1, 3, 3, 1), np.uint8), np.zeros((1, 32, 32, 1), np.float32), np.zeros((32, 32), np.uint8)],
    ids=["size", "type", "rank"],
)
def test_rejects_wrong_images_in_one_line(session: Session, images: np.ndarray):
    with pytest.raises(EngineError) as raised:
        session.run(images)
    assert "\n" not in str(raised.value)


def test_rejects_an_out_of_another_shape(session: Session, committed: Bundle):
    images = committed.self_test().images[:2]
    with pytest.raises(EngineError, match="returned logits of shape"):
        session.run(images, out=np.empty((2, 11), np.float32))
    with pytest.raises(EngineError, match="returned logits of shape"):
        session.run(images[:1], out=np.empty((2, 10), np.float32))


def test_rejects_runs_after_close(session: Session, committed: Bundle):
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run(committed.self_test().images)


def test_info_describes_the_session(session: Session):
    assert session.info.engine in installed()
    assert session.info.precision == "fp32"
    assert session.info.threads >= 1
    assert session.info.version[0].isdigit()


@ENGINES
def test_several_threads_share_a_session(engine: str, committed: Bundle):
    session = open_session(committed, engine=engine, options=SessionOptions(threads=1, instances=2))
    assert session.instances == 2
    images, wrong = committed.self_test().images, []
    expected = session.run(images)

    def work() -> None:
        for _ in range(50):
            if not np.array_equal(session.run(images), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@ENGINES
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_rejects_a_session_after_a_fork(engine: str, committed: Bundle):
    session = open_session(committed, engine=engine)
    images = committed.self_test().images
    expected = session.run(images)
    child = os.fork()
    if child == 0:  # no assert: the child must not return to pytest
        try:
            session.run(images)
        except EngineError as error:
            os._exit(7 if "forked" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    np.testing.assert_array_equal(session.run(images), expected)


@ENGINES
def test_a_forked_child_can_open_the_bundle(engine: str, committed: Bundle):
    code = f"""
import os, edgecnn
edgecnn.open_bundle({str(committed.path)!r})
child = os.fork()
bundle = edgecnn.open_bundle({str(committed.path)!r})
classifier = edgecnn.load(bundle, engine={engine!r})
assert len(classifier.logits(bundle.self_test().images)) == 32
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


@ENGINES
def test_reads_images_changed_in_place(engine: str, committed: Bundle):
    session = open_session(committed, engine=engine)
    for images in (committed.self_test().images[:1].copy(), np.tile(committed.self_test().images, (4, 1, 1, 1))):
        before = session.run(images)
        images[:] = 255 - images
        after = session.run(images)
        assert not np.array_equal(before, after)
        np.testing.assert_array_equal(after, session.run(images.copy()))


@ENGINES
@pytest.mark.parametrize("cache", [False, True])
def test_single_image_sessions_accept_batches(engine: str, cache: bool, committed: Bundle):
    images = committed.self_test().images
    expected = open_session(committed, engine=engine, options=SessionOptions(threads=1)).run(images)
    for _ in range(2):
        session = open_session(
            committed, engine=engine, options=SessionOptions(threads=1, one_by_one=True), cache=cache
        )
        for count in (1, 3, 32):
            np.testing.assert_allclose(session.run(images[:count]), expected[:count], atol=1e-5)
            out = np.empty((count, 10), np.float32)
            session.run(images[:count], out=out)
            np.testing.assert_allclose(out, expected[:count], atol=1e-5)
        np.testing.assert_allclose(next(iter(stream(session, [images[:2], images[2:3]]))), expected[:2], atol=1e-5)


@ENGINES
def test_uses_the_requested_threads(engine: str, committed: Bundle):
    assert open_session(committed, engine=engine, options=SessionOptions(threads=1)).info.threads == 1


@ENGINES
@pytest.mark.parametrize("content", [b"", b"hello world", bytes(range(256)) * 40], ids=["empty", "text", "random"])
def test_rejects_an_invalid_graph_in_one_line(engine: str, content: bytes, tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(EngineError, match=r"model\.onnx") as raised:
        get_engine(engine).open(tmp_path / "model.onnx", SessionOptions())
    assert "\n" not in str(raised.value)
