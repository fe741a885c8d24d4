"""The Python inference API, with the committed bundle and real digits."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgecnn
from edgecnn.bundle.decoding import ImageLike
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineError, ImageError, UnknownFormat, UsageError
from edgecnn.host.resources import usable_cores
from edgecnn.prediction import Prediction, softmax
from edgecnn.runtime.classifier import Classifier
from edgecnn.runtime.engines.engine import SessionInfo, SessionOptions
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.images import BATCH
from edgecnn.runtime.opening import open_session

BUNDLE = Path(__file__).parents[2] / "exported" / "lenet-digits-int8"


@pytest.fixture(params=installed())
def classifier(request: pytest.FixtureRequest) -> Classifier:
    return edgecnn.load(BUNDLE, engine=request.param)


@pytest.fixture
def seven() -> np.ndarray:
    from edgecnn.pipeline.data.sources import open_source

    test = open_source("digits").split("test")
    return np.asarray(test.images[int(np.flatnonzero(test.targets == 7)[0])])


def test_accepts_all_image_types(classifier: Classifier, seven: np.ndarray, tmp_path: Path):
    picture = Image.fromarray(seven)
    picture.save(tmp_path / "seven.png")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    forms = [tmp_path / "seven.png", str(tmp_path / "seven.png"), buffer.getvalue(), picture, seven, seven[:, :, None]]
    predictions = classifier.predict(forms)
    assert {prediction.label for prediction in predictions} == {"7"}
    assert len({prediction.probability for prediction in predictions}) == 1
    assert classifier.predict(seven) == predictions[4]


def test_returns_one_prediction_or_a_list(classifier: Classifier, seven: np.ndarray):
    single = classifier.predict(seven, top=3)
    assert single.label == single.top[0][0] == classifier.labels[single.index]
    assert len(single.top) == 3
    assert single.top[0][1] > single.top[1][1] > single.top[2][1]
    assert classifier.predict([seven], top=3) == [single]
    assert classifier.predict([]) == []


def test_splits_many_images_into_batches(classifier: Classifier, seven: np.ndarray):
    assert [p.label for p in classifier.predict([seven] * 70)] == ["7"] * 70


def test_logits_match_the_self_test(classifier: Classifier):
    self_test = classifier.bundle.self_test()
    assert np.abs(classifier.logits(self_test.images) - self_test.logits).max() <= self_test.tolerance


@pytest.mark.parametrize(
    "images", [np.zeros((1, 28, 28, 1), np.uint8), np.zeros((1, 32, 32, 1), np.float32), np.zeros((32, 32), np.uint8)]
)
def test_rejects_wrong_images(classifier: Classifier, images: np.ndarray):
    with pytest.raises(UsageError, match=r"uint8 \[N, 32, 32, 1\]"):
        classifier.logits(images)


def test_names_a_missing_image(classifier: Classifier, tmp_path: Path):
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        classifier.predict(tmp_path / "nowhere.png")


def test_yields_errors_in_place_of_broken_images(classifier: Classifier, seven: np.ndarray):
    def camera() -> Iterator[ImageLike]:
        for number in range(100):
            yield b"no image" if number % 9 == 4 else seven

    answers = list(classifier.predictions(camera()))
    assert len(answers) == 100
    for number, answer in enumerate(answers):
        if number % 9 == 4:
            assert isinstance(answer, ImageError)
        else:
            assert isinstance(answer, Prediction)
            assert answer.label == "7"


@pytest.mark.parametrize("count", [1, 7, 8, 9, 40])
def test_yields_an_error_for_each_broken_image(classifier: Classifier, count: int):
    answers = list(classifier.predictions([b"no image"] * count))
    assert [type(answer) for answer in answers] == [UnknownFormat] * count


def test_raises_for_the_first_broken_image(classifier: Classifier, seven: np.ndarray, tmp_path: Path):
    with pytest.raises(ImageError, match=r"first\.png"):
        classifier.predict([seven, tmp_path / "first.png", tmp_path / "second.png"])


def test_reads_an_endless_stream_lazily(classifier: Classifier, seven: np.ndarray):
    drawn = 0

    def camera() -> Iterator[ImageLike]:
        nonlocal drawn
        while True:
            drawn += 1
            yield seven

    for _, _answer in zip(range(20), classifier.predictions(camera()), strict=False):
        pass
    assert drawn <= 20 + 8 * BATCH * usable_cores()


def test_several_threads_share_a_classifier(classifier: Classifier):
    self_test = classifier.bundle.self_test()
    expected = classifier.logits(self_test.images)
    with ThreadPoolExecutor(8) as pool:
        for logits in pool.map(classifier.logits, [self_test.images] * 200):
            np.testing.assert_array_equal(logits, expected)
        labels = [prediction.label for prediction in classifier.predict(list(self_test.images))]
        for answers in pool.map(classifier.predict, [list(self_test.images)] * 16):
            assert [prediction.label for prediction in answers] == labels


@pytest.mark.parametrize("engine", installed())
def test_streams_do_not_change_logits(engine: str, committed: Bundle):
    images = np.tile(committed.self_test().images, (5, 1, 1, 1))
    session = open_session(committed, engine=engine, options=SessionOptions(threads=1, instances=2))
    with Classifier(committed, session) as several, edgecnn.load(committed, engine=engine, threads=1) as one:
        np.testing.assert_array_equal(several.logits(images), one.logits(images))
        assert several.predict(list(images)) == one.predict(list(images))


def test_closes_after_a_with_block(seven: np.ndarray):
    with edgecnn.load(BUNDLE) as classifier:
        classifier.predict(seven)
    with pytest.raises(edgecnn.EdgecnnError, match="closed"):
        classifier.predict(seven)


def test_softmax_does_not_overflow():
    probabilities = softmax(np.array([[1e4, -1e4, 0.0]], np.float32))
    np.testing.assert_array_equal(probabilities, [[1.0, 0.0, 0.0]])


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_accepts_any_buffer(kind: type, classifier: Classifier):
    content = classifier.bundle.self_test().encoded[0].content
    assert isinstance(classifier.predict(kind(content)), Prediction)


def test_rejects_logits_that_are_not_finite(committed: Bundle):
    class Broken:
        info = SessionInfo("fake", "1", "cpu", "fp32", 1)
        instances = 1

        def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
            return np.full((len(images), 10), np.nan, np.float32)

        def close(self) -> None:
            """Required by the protocol."""

    with pytest.raises(EngineError, match="not finite"):
        Classifier(committed, Broken()).predict(committed.self_test().images[0])
