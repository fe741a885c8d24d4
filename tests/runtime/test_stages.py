"""The graph of a cascade that answers each image, in predictions and counts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.store import Bundle
from edgecnn.errors import ImageError
from edgecnn.prediction import Prediction
from edgecnn.runtime.cascade import CascadeSession, StageCounts, counts_of
from edgecnn.runtime.classifier import load
from edgecnn.runtime.opening import open_session


@pytest.fixture
def pictures(cascade_bundle: Bundle, tmp_path: Path) -> list[Path]:
    """Return the self-test images as files, of which a quarter runs again."""
    paths = [tmp_path / f"{number}.png" for number in range(32)]
    for path, image in zip(paths, cascade_bundle.self_test().images, strict=True):
        Image.fromarray(image[:, :, 0]).save(path)
    return paths


def stages(found: list[Prediction]) -> list[str | None]:
    return [each.stage for each in found]


def test_each_prediction_has_its_stage(cascade_bundle: Bundle, pictures: list[Path]):
    session = open_session(cascade_bundle)
    assert isinstance(session, CascadeSession)
    expected = ["accurate" if again else "fast" for again in session.run_stages(cascade_bundle.self_test().images)[1]]
    with load(cascade_bundle) as classifier:
        assert stages(classifier.predict(pictures)) == expected
        assert stages([classifier.predict(path) for path in pictures]) == expected
        assert set(expected) == {"fast", "accurate"}


def test_a_bundle_with_one_graph_has_no_stage(committed: Bundle, pictures: list[Path]):
    with load(committed) as classifier:
        assert stages([classifier.predict(pictures[0]), *classifier.predict(pictures[:3])]) == [None] * 4


def test_damaged_images_do_not_shift_the_stages(cascade_bundle: Bundle, pictures: list[Path]):
    damaged = pictures[0].with_name("damaged.png")
    damaged.write_bytes(b"no image")
    with load(cascade_bundle) as classifier:
        expected = stages(classifier.predict(pictures))
        found = list(classifier.predictions([damaged, *pictures[:5], damaged, *pictures[5:]]))
    assert isinstance(found[0], ImageError)
    assert [each.stage for each in found if isinstance(each, Prediction)] == expected


def test_a_notebook_shows_the_stage(cascade_bundle: Bundle, pictures: list[Path]):
    with load(cascade_bundle) as classifier:
        found = classifier.predict(pictures)
    assert {f"({each.stage} graph)" in each._repr_html_() for each in found} == {True}


def test_a_session_counts_its_images(cascade_bundle: Bundle, committed: Bundle):
    images = cascade_bundle.self_test().images
    session = open_session(cascade_bundle)
    assert isinstance(session, CascadeSession)
    assert session.counts == StageCounts(0, 0)
    assert session.counts.share is None
    session.run(images)
    earlier = session.counts
    assert earlier == StageCounts(32, 8)
    session.run(images, out=np.empty((32, 10), np.float32))
    assert session.counts.since(earlier) == earlier
    assert session.counts.share == 0.25
    session.close()
    assert counts_of(open_session(committed)) is None
